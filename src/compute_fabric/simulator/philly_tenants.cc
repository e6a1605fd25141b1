#include "compute_fabric/simulator/philly_tenants.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "compute_fabric/simulator/philly_policies.h"

namespace oneai::fabric {

std::map<std::string, int> QuotasByUse(const std::vector<PhillyJob>& jobs, int num_gpus) {
  std::map<std::string, double> use;
  double total = 0;
  for (const PhillyJob& job : jobs) {
    const double device_seconds = static_cast<double>(job.duration_s) * job.num_gpus;
    use[job.tenant] += device_seconds;
    total += device_seconds;
  }
  std::map<std::string, int> quotas;
  std::vector<std::pair<double, std::string>> remainders;
  int left = num_gpus;
  for (const auto& [tenant, device_seconds] : use) {
    const double share = device_seconds / total * num_gpus;
    quotas[tenant] = static_cast<int>(share);
    left -= quotas[tenant];
    remainders.emplace_back(share - quotas[tenant], tenant);
  }
  absl::c_sort(remainders, std::greater<>());
  for (int i = 0; i < left; ++i) ++quotas[remainders[i % remainders.size()].second];
  return quotas;
}

std::vector<double> IsolatedByTenant(const std::vector<PhillyJob>& jobs,
                                     const std::map<std::string, int>& quotas) {
  std::vector<double> isolated(jobs.size(), 0);
  for (const auto& [tenant, quota] : quotas) {
    std::vector<PhillyJob> own;
    std::vector<size_t> index;
    int size = quota;
    for (size_t i = 0; i < jobs.size(); ++i) {
      if (jobs[i].tenant != tenant) continue;
      own.push_back(jobs[i]);
      index.push_back(i);
      size = std::max(size, jobs[i].num_gpus);
    }
    const std::vector<int64_t> completed = SimulatePool(own, size, PoolPolicy::kEasy);
    for (size_t i = 0; i < own.size(); ++i) {
      isolated[index[i]] = static_cast<double>(completed[i] - own[i].submit_s);
    }
  }
  return isolated;
}

}  // namespace oneai::fabric
