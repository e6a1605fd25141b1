// File: serving/gateway/identity_cache.h
//
// Whom an API key stands for, as the controller says, remembered for a few seconds.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/auth/access.h"
#include "base/clock.h"

namespace oneai::serving {

struct IdentityCacheSettings {
  absl::Duration lifetime = absl::Seconds(3);  // a revoked key dies within it
  absl::Duration refused = absl::Seconds(1);   // so long a bad key is refused without asking
  // While the controller cannot be reached a key that it accepted before goes on working for so
  // long: nobody can revoke a key meanwhile either. Zero: inference stops with the controller.
  absl::Duration grace = absl::Minutes(5);
  size_t num_keys_max = 10'000;
};

// Thread-safe. Holds hashes of keys, never keys.
class IdentityCache {
 public:
  // Asks the controller. Unauthenticated: not a valid key. Unavailable: could not ask.
  using Resolver = std::function<absl::StatusOr<Identity>(const std::string& secret)>;

  // `clock` must outlive the cache.
  IdentityCache(IdentityCacheSettings settings, Resolver resolve, const Clock* clock)
      : settings_(settings), resolve_(std::move(resolve)), clock_(clock) {}

  // Unauthenticated: no key or a bad one. Unavailable: unknown here and the controller cannot be
  // asked.
  absl::StatusOr<Identity> Find(const std::string& secret);

 private:
  struct Entry {
    absl::StatusOr<Identity> identity;
    absl::Time asked;     // when the controller last said so
    absl::Time next_ask;  // until then it is not asked again
  };
  void Keep(const std::string& hash, Entry entry) ABSL_LOCKS_EXCLUDED(mu_);

  const IdentityCacheSettings settings_;
  const Resolver resolve_;
  const Clock* const clock_;
  absl::Mutex mu_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mu_);
};

// The token of an "authorization" value: "Bearer <token>", the word in any case; empty when it is
// something else.
std::string BearerToken(absl::string_view authorization);

}  // namespace oneai::serving
