// File: serving/gateway/tenant_limits.cc
#include "serving/gateway/tenant_limits.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace oneai::serving {

TokenBucket TokenBucket::Full(int64_t tokens_per_minute, absl::Time now) {
  return {static_cast<double>(tokens_per_minute), now};
}

void TokenBucket::Refill(int64_t tokens_per_minute, absl::Time now) {
  if (now <= updated) return;
  const double minutes = absl::FDivDuration(now - updated, absl::Minutes(1));
  level = std::min<double>(tokens_per_minute, level + minutes * tokens_per_minute);
  updated = now;
}

absl::Duration TokenBucket::WaitTime(int64_t tokens_per_minute) const {
  if (level >= 1) return absl::ZeroDuration();
  return absl::Minutes((1 - level) / static_cast<double>(tokens_per_minute));
}

TenantLimits::Tenant& TenantLimits::Find(const std::string& tenant, absl::Time now) {
  auto [it, is_new] = tenants_.try_emplace(tenant);
  if (is_new) it->second.bucket = TokenBucket::Full(settings_.tenant_tokens_per_minute, now);
  return it->second;
}

absl::StatusOr<std::unique_ptr<TenantLimits::Ticket>> TenantLimits::Enter(
    const std::string& tenant, absl::Time now, absl::Duration& retry_after) {
  absl::MutexLock lock(&mu_);
  retry_after = absl::Seconds(1);
  if (num_streams_ >= settings_.streams_max) {
    return absl::ResourceExhaustedError(absl::StrCat("the gateway already serves ", num_streams_,
                                                     " requests, its limit; retry later"));
  }
  Tenant& entry = Find(tenant, now);
  if (entry.num_streams >= settings_.tenant_streams_max) {
    return absl::ResourceExhaustedError(absl::StrCat("business unit '", tenant, "' already has ",
                                                     entry.num_streams,
                                                     " requests running, its limit"));
  }
  if (settings_.tenant_tokens_per_minute > 0) {
    entry.bucket.Refill(settings_.tenant_tokens_per_minute, now);
    const absl::Duration wait = entry.bucket.WaitTime(settings_.tenant_tokens_per_minute);
    if (wait > absl::ZeroDuration()) {
      retry_after = wait;
      return absl::ResourceExhaustedError(absl::StrCat("business unit '", tenant, "' has used its ",
                                                       settings_.tenant_tokens_per_minute,
                                                       " tokens per minute"));
    }
  }
  ++num_streams_;
  ++entry.num_streams;
  return std::make_unique<Ticket>(this, tenant);
}

void TenantLimits::Leave(const std::string& tenant) {
  absl::MutexLock lock(&mu_);
  --num_streams_;
  --tenants_[tenant].num_streams;
}

void TenantLimits::Spend(const std::string& tenant, int64_t num_tokens, absl::Time now) {
  if (settings_.tenant_tokens_per_minute <= 0) return;
  absl::MutexLock lock(&mu_);
  TokenBucket& bucket = Find(tenant, now).bucket;
  bucket.Refill(settings_.tenant_tokens_per_minute, now);
  bucket.level -= static_cast<double>(num_tokens);
}

int64_t TenantLimits::num_streams() const {
  absl::MutexLock lock(&mu_);
  return num_streams_;
}

}  // namespace oneai::serving
