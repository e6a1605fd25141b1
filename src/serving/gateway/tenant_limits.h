// File: serving/gateway/tenant_limits.h
//
// How much of the gateway one tenant (business unit) may use at a time, and all together. A refusal
// is typed and in words.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace oneai::serving {

struct LimitSettings {
  int64_t streams_max = 256;             // of the whole gateway; also bounds its threads
  int64_t tenant_streams_max = 64;       // of one tenant at a time
  int64_t tenant_tokens_per_minute = 0;  // prompt and completion; 0: without limit
};

// A bucket that fills at `rate` to one minute's worth. Spending may take it below zero: a request's
// tokens are known only at its end, so it is admitted while anything is left and its debt delays
// the next. Pure.
struct TokenBucket {
  double level = 0;
  absl::Time updated;

  // A full bucket.
  static TokenBucket Full(int64_t tokens_per_minute, absl::Time now);
  void Refill(int64_t tokens_per_minute, absl::Time now);
  // Until something is left again; zero when something is.
  absl::Duration WaitTime(int64_t tokens_per_minute) const;
};

// Thread-safe. Tenants are bounded by the business units that have keys.
class TenantLimits {
 public:
  explicit TenantLimits(const LimitSettings& settings) : settings_(settings) {}

  // The place of one request; given back by its destructor. Must not outlive the limits.
  class Ticket {
   public:
    Ticket(TenantLimits* limits, std::string tenant)
        : limits_(limits), tenant_(std::move(tenant)) {}
    ~Ticket() { limits_->Leave(tenant_); }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

   private:
    TenantLimits* const limits_;
    const std::string tenant_;
  };

  // ResourceExhausted: the gateway or the tenant is at its limit; `retry_after` says how long to
  // wait.
  absl::StatusOr<std::unique_ptr<Ticket>> Enter(const std::string& tenant, absl::Time now,
                                                absl::Duration& retry_after);
  // Charges what a request used.
  void Spend(const std::string& tenant, int64_t num_tokens, absl::Time now);
  int64_t num_streams() const;

 private:
  struct Tenant {
    int64_t num_streams = 0;
    TokenBucket bucket;
  };
  void Leave(const std::string& tenant);
  Tenant& Find(const std::string& tenant, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const LimitSettings settings_;
  mutable absl::Mutex mu_;
  int64_t num_streams_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, Tenant> tenants_ ABSL_GUARDED_BY(mu_);
};

}  // namespace oneai::serving
