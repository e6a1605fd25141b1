// File: base/auth/token_store.h
//
// Tokens of people and services, kept in the Store by the SHA-256 of their secret.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/auth/access.h"
#include "base/clock.h"
#include "base/store/store.h"

namespace oneai {

// Thread-safe. Both pointers must outlive it.
class TokenStore {
 public:
  TokenStore(Store* store, const Clock* clock) : store_(store), clock_(clock) {}

  // InvalidArgument: empty name, unknown role, lifetime beyond a year.
  absl::StatusOr<auth::v1::CreateTokenResponse> Create(const auth::v1::CreateTokenRequest& request);
  // Unauthenticated: unknown, expired or revoked; the message never says which.
  absl::StatusOr<Identity> Authenticate(absl::string_view secret) const;
  absl::StatusOr<auth::v1::ListTokensResponse> List() const;
  absl::Status Revoke(absl::string_view id);  // NotFound
  // Ends the token with this secret, if there is one: logging out needs no right but the secret
  // itself.
  absl::Status RevokeSecret(absl::string_view secret);

  // Takes a secret to where its owner will find it. Runs before the token is stored: a crash
  // between the two leaves a secret that opens nothing, never a token whose secret is lost.
  using KeepSecret = std::function<absl::Status(const std::string& secret)>;

  // Makes the first admin token if there is no token at all.
  absl::Status CreateFirstAdmin(const KeepSecret& keep);

 private:
  absl::StatusOr<auth::v1::CreateTokenResponse> Create(const auth::v1::CreateTokenRequest& request,
                                                       const KeepSecret& keep);
  absl::Status DropExpired(absl::Time now, Transaction& transaction) const;

  Store* const store_;
  const Clock* const clock_;
};

}  // namespace oneai
