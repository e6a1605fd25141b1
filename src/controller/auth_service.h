// File: controller/auth_service.h
//
// AuthService over the TokenStore, and the dashboard's one-time login codes. Contract:
// proto/oneai/auth/v1/auth.proto.
#pragma once

#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/auth/token_store.h"
#include "base/grpc/authenticator.h"
#include "data_gov/audit/audit_log.h"
#include "oneai/auth/v1/auth.grpc.pb.h"

namespace oneai {

// Codes live in memory: a restart of the controller ends them, which costs a person one more `oneai
// ui`. Thread-safe.
class LoginCodes {
 public:
  explicit LoginCodes(const Clock* clock) : clock_(clock) {}
  auth::v1::CreateLoginCodeResponse Create(const Identity& identity);
  // Unauthenticated: unknown, used or expired. Each code works once.
  absl::StatusOr<Identity> Redeem(const std::string& code);

 private:
  struct Entry {
    Identity identity;
    absl::Time expires;
  };
  void DropExpired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock* const clock_;
  absl::Mutex mu_;
  std::map<std::string, Entry> codes_ ABSL_GUARDED_BY(mu_);
};

class AuthServiceImpl final : public auth::v1::AuthService::Service {
 public:
  AuthServiceImpl(TokenStore* tokens, LoginCodes* codes, gov::AuditLog* audit,
                  const Authenticator* authenticator)
      : tokens_(tokens), codes_(codes), audit_(audit), authenticator_(authenticator) {}

  grpc::Status WhoAmI(grpc::ServerContext* context, const auth::v1::WhoAmIRequest* request,
                      auth::v1::WhoAmIResponse* response) override;
  grpc::Status CreateToken(grpc::ServerContext* context,
                           const auth::v1::CreateTokenRequest* request,
                           auth::v1::CreateTokenResponse* response) override;
  grpc::Status ListTokens(grpc::ServerContext* context, const auth::v1::ListTokensRequest* request,
                          auth::v1::ListTokensResponse* response) override;
  grpc::Status RevokeToken(grpc::ServerContext* context,
                           const auth::v1::RevokeTokenRequest* request,
                           auth::v1::RevokeTokenResponse* response) override;
  grpc::Status Authenticate(grpc::ServerContext* context,
                            const auth::v1::AuthenticateRequest* request,
                            auth::v1::WhoAmIResponse* response) override;
  grpc::Status CreateLoginCode(grpc::ServerContext* context,
                               const auth::v1::CreateLoginCodeRequest* request,
                               auth::v1::CreateLoginCodeResponse* response) override;

 private:
  // The caller, with `permission`; a denial is audited.
  absl::StatusOr<Identity> Caller(const grpc::ServerContext& context, Permission permission) const;
  absl::Status Require(const Identity& caller, Permission permission,
                       const std::string& unit) const;
  // Nobody grants in a unit that he does not administer.
  absl::Status MayGrant(const Identity& caller, const auth::v1::CreateTokenRequest& request) const;

  TokenStore* const tokens_;
  LoginCodes* const codes_;
  gov::AuditLog* const audit_;
  const Authenticator* const authenticator_;
};

}  // namespace oneai
