#include "controller/auth_service.h"

#include <google/protobuf/util/time_util.h>

#include "absl/strings/str_cat.h"
#include "base/grpc/status.h"
#include "base/ids.h"
#include "base/status.h"

namespace oneai {
namespace {

constexpr absl::Duration kCodeLifetime = absl::Minutes(10);
constexpr size_t kCodesMax = 1000;

auth::v1::WhoAmIResponse Describe(const Identity& identity) {
  auth::v1::WhoAmIResponse response;
  *response.mutable_principal() = identity.principal;
  for (const auth::v1::RoleBinding& binding : identity.bindings) *response.add_bindings() = binding;
  return response;
}

// A principal of no unit is the fabric's own.
std::string UnitOrAll(const std::string& unit) {
  return unit.empty() ? std::string(kEveryUnit) : unit;
}

bool Manages(const Identity& caller, const auth::v1::TokenInfo& token) {
  return CheckPermission(caller, Permission::kManageTokens,
                         UnitOrAll(token.principal().business_unit()))
      .ok();
}

}  // namespace

void LoginCodes::DropExpired() {
  const absl::Time now = clock_->Now();
  for (auto it = codes_.begin(); it != codes_.end();)
    it = it->second.expires <= now ? codes_.erase(it) : std::next(it);
}

auth::v1::CreateLoginCodeResponse LoginCodes::Create(const Identity& identity) {
  absl::MutexLock lock(&mu_);
  DropExpired();
  if (codes_.size() >= kCodesMax) codes_.erase(codes_.begin());
  auth::v1::CreateLoginCodeResponse response;
  response.set_code(NewSecret());
  const absl::Time expires = clock_->Now() + kCodeLifetime;
  codes_[response.code()] = {identity, expires};
  *response.mutable_expires() =
      google::protobuf::util::TimeUtil::MillisecondsToTimestamp(absl::ToUnixMillis(expires));
  return response;
}

absl::StatusOr<Identity> LoginCodes::Redeem(const std::string& code) {
  absl::MutexLock lock(&mu_);
  DropExpired();
  const auto found = codes_.find(code);
  if (found == codes_.end()) {
    return absl::UnauthenticatedError(
        "this login code is unknown, used or expired; `oneai ui` makes a new one");
  }
  Identity identity = std::move(found->second.identity);
  codes_.erase(found);
  return identity;
}

absl::Status AuthServiceImpl::Require(const Identity& caller, Permission permission,
                                      const std::string& unit) const {
  absl::Status allowed = CheckPermission(caller, permission, unit);
  if (!allowed.ok()) {
    RETURN_IF_ERROR(audit_->Append(
        {caller.principal, "auth.denied", unit, "", false, std::string(allowed.message())}));
  }
  return allowed;
}

absl::StatusOr<Identity> AuthServiceImpl::Caller(const grpc::ServerContext& context,
                                                 Permission permission) const {
  ASSIGN_OR_RETURN(Identity caller, authenticator_->Authenticate(context));
  RETURN_IF_ERROR(Require(caller, permission, ""));
  return caller;
}

absl::Status AuthServiceImpl::MayGrant(const Identity& caller,
                                       const auth::v1::CreateTokenRequest& request) const {
  RETURN_IF_ERROR(Require(caller, Permission::kManageTokens, UnitOrAll(request.business_unit())));
  for (const auth::v1::RoleBinding& binding : request.bindings()) {
    RETURN_IF_ERROR(Require(caller, Permission::kManageTokens, UnitOrAll(binding.business_unit())));
  }
  return absl::OkStatus();
}

grpc::Status AuthServiceImpl::WhoAmI(grpc::ServerContext* context, const auth::v1::WhoAmIRequest*,
                                     auth::v1::WhoAmIResponse* response) {
  const absl::StatusOr<Identity> caller = authenticator_->Authenticate(*context);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  *response = Describe(*caller);
  return grpc::Status::OK;
}

grpc::Status AuthServiceImpl::CreateToken(grpc::ServerContext* context,
                                          const auth::v1::CreateTokenRequest* request,
                                          auth::v1::CreateTokenResponse* response) {
  const absl::StatusOr<Identity> caller = Caller(*context, Permission::kManageTokens);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  if (absl::Status allowed = MayGrant(*caller, *request); !allowed.ok())
    return ToGrpcStatus(allowed);
  absl::StatusOr<auth::v1::CreateTokenResponse> token = tokens_->Create(*request);
  if (!token.ok()) return ToGrpcStatus(token.status());
  const absl::Status audited =
      audit_->Append({caller->principal, "token.create", token->id(), "", true,
                      absl::StrCat("for ", request->name(), " of ", request->business_unit())});
  if (!audited.ok()) return ToGrpcStatus(audited);
  *response = *std::move(token);
  return grpc::Status::OK;
}

grpc::Status AuthServiceImpl::ListTokens(grpc::ServerContext* context,
                                         const auth::v1::ListTokensRequest*,
                                         auth::v1::ListTokensResponse* response) {
  const absl::StatusOr<Identity> caller = Caller(*context, Permission::kManageTokens);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  absl::StatusOr<auth::v1::ListTokensResponse> list = tokens_->List();
  if (!list.ok()) return ToGrpcStatus(list.status());
  for (auth::v1::TokenInfo& token : *list->mutable_tokens()) {
    if (Manages(*caller, token)) *response->add_tokens() = std::move(token);
  }
  return grpc::Status::OK;
}

grpc::Status AuthServiceImpl::RevokeToken(grpc::ServerContext* context,
                                          const auth::v1::RevokeTokenRequest* request,
                                          auth::v1::RevokeTokenResponse*) {
  const absl::StatusOr<Identity> caller = Caller(*context, Permission::kManageTokens);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<auth::v1::ListTokensResponse> list = tokens_->List();
  if (!list.ok()) return ToGrpcStatus(list.status());
  for (const auth::v1::TokenInfo& token : list->tokens()) {
    if (token.id() != request->id()) continue;
    const absl::Status allowed =
        Require(*caller, Permission::kManageTokens, UnitOrAll(token.principal().business_unit()));
    if (!allowed.ok()) return ToGrpcStatus(allowed);
  }
  if (absl::Status revoked = tokens_->Revoke(request->id()); !revoked.ok())
    return ToGrpcStatus(revoked);
  return ToGrpcStatus(
      audit_->Append({caller->principal, "token.revoke", request->id(), "", true, ""}));
}

grpc::Status AuthServiceImpl::Authenticate(grpc::ServerContext* context,
                                           const auth::v1::AuthenticateRequest* request,
                                           auth::v1::WhoAmIResponse* response) {
  const absl::StatusOr<Identity> caller = Caller(*context, Permission::kGateway);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<Identity> stranger = tokens_->Authenticate(request->secret());
  if (!stranger.ok()) return ToGrpcStatus(stranger.status());
  *response = Describe(*stranger);
  return grpc::Status::OK;
}

grpc::Status AuthServiceImpl::CreateLoginCode(grpc::ServerContext* context,
                                              const auth::v1::CreateLoginCodeRequest*,
                                              auth::v1::CreateLoginCodeResponse* response) {
  const absl::StatusOr<Identity> caller = Caller(*context, Permission::kViewFabric);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  // A code becomes a person's session with all roles of its maker: a job's roles are cut down for
  // jobs, so that a job with a session would have more than it may.
  const bool is_person = caller->principal.kind() == common::v1::Principal::USER;
  const absl::Status outcome = is_person ? absl::OkStatus()
                                         : absl::PermissionDeniedError(
                                               "the dashboard is for people; log in with a "
                                               "person's token");
  const absl::Status audited = audit_->Append({caller->principal, "login_code.create", "", "",
                                               outcome.ok(), std::string(outcome.message())});
  if (!outcome.ok()) return ToGrpcStatus(outcome);
  if (!audited.ok()) return ToGrpcStatus(audited);
  *response = codes_->Create(*caller);
  return grpc::Status::OK;
}

}  // namespace oneai
