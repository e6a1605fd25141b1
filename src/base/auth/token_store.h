// File: base/auth/token_store.h
//
// Tokens of people and services, kept in the Store by the SHA-256 of their secret.
#pragma once

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

  // Makes the first admin token if there is no token at all; returns its secret, or empty if tokens
  // exist.
  absl::StatusOr<std::string> CreateFirstAdmin();

 private:
  Store* const store_;
  const Clock* const clock_;
};

}  // namespace oneai
