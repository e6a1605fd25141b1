// File: serving/scheduler/tenant_ledger.h
//
// How much service each tenant has had. A tenant that comes back after a pause starts level with
// the least served of those who are active, so idling earns no credit (arXiv:2401.00588, algorithm
// 2).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace oneai::serving {

// Thread-compatible.
class TenantLedger {
 public:
  // Registers a request of `tenant` and returns the tenant's index, valid until its last request
  // has left.
  int64_t Enter(absl::string_view tenant);
  // The request has left the engine.
  void Leave(int64_t tenant);
  // Adds `cost` units of service.
  void Charge(int64_t tenant, int64_t cost) { service_[tenant] += cost; }

  const std::vector<int64_t>& service() const { return service_; }
  int64_t num_tenants() const { return static_cast<int64_t>(index_.size()); }

 private:
  void ForgetIdle();

  std::vector<int64_t> service_;       // by index
  std::vector<int64_t> num_requests_;  // by index; 0: idle
  std::vector<int64_t> unused_;        // indices that belong to nobody
  absl::flat_hash_map<std::string, int64_t> index_;
};

// Idle tenants are forgotten once more than this many are known.
inline constexpr int64_t kTenantsRemembered = 1024;

}  // namespace oneai::serving
