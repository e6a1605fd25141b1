#include "serving/scheduler/tenant_ledger.h"

#include <algorithm>
#include <optional>

namespace oneai::serving {

int64_t TenantLedger::Enter(absl::string_view tenant) {
  auto it = index_.find(tenant);
  if (it == index_.end()) {
    if (num_tenants() >= kTenantsRemembered) ForgetIdle();
    int64_t index;
    if (unused_.empty()) {
      index = static_cast<int64_t>(service_.size());
      service_.push_back(0);
      num_requests_.push_back(0);
    } else {
      index = unused_.back();
      unused_.pop_back();
      service_[index] = 0;
    }
    it = index_.emplace(std::string(tenant), index).first;
  }
  const int64_t index = it->second;
  if (num_requests_[index] == 0) {
    std::optional<int64_t> least;
    for (size_t i = 0; i < service_.size(); ++i) {
      if (num_requests_[i] > 0) least = std::min(least.value_or(service_[i]), service_[i]);
    }
    if (least.has_value()) service_[index] = std::max(service_[index], *least);
  }
  ++num_requests_[index];
  return index;
}

void TenantLedger::Leave(int64_t tenant) { --num_requests_[tenant]; }

void TenantLedger::ForgetIdle() {
  for (auto it = index_.begin(); it != index_.end();) {
    if (num_requests_[it->second] == 0) {
      unused_.push_back(it->second);
      index_.erase(it++);
    } else {
      ++it;
    }
  }
}

}  // namespace oneai::serving
