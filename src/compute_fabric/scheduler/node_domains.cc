#include "compute_fabric/scheduler/node_domains.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"

namespace oneai::fabric {
namespace {

// Domains of the level that the node is in, and whether only devices of the domain count.
absl::InlinedVector<int32_t, 2> DomainsOfNode(const NodeState& node, TopologyLevel level,
                                              bool with_devices) {
  absl::InlinedVector<int32_t, 2> domains;
  if (level != TopologyLevel::kNvlink || !with_devices) {
    // Tasks without devices know no NVLink: their host is as near as they get.
    const TopologyLevel of = level == TopologyLevel::kNvlink ? TopologyLevel::kHost : level;
    domains.push_back(node.domain[static_cast<int>(of)]);
    return domains;
  }
  for (const DeviceState& device : node.devices) {
    if (std::find(domains.begin(), domains.end(), device.domain) == domains.end()) {
      domains.push_back(device.domain);
    }
  }
  return domains;
}

}  // namespace

std::vector<NodeDomain> DomainsFor(const ClusterState& cluster, const JobView& job,
                                   const DeviceAlternative* device, const NodeGate& may_use,
                                   int num_tasks) {
  absl::flat_hash_set<NodeIndex> held;
  for (const TaskPlacement& task : job.placed) held.insert(cluster.Find(task.node));
  const bool one_a_node = job.spread == SpreadPolicy::kNode;
  const bool by_nvlink =
      job.topology && job.topology->level == TopologyLevel::kNvlink && device != nullptr;
  NodeDomain all;
  std::vector<NodeDomain> domains;
  absl::flat_hash_map<int32_t, size_t> index;
  for (NodeIndex n = 0; n < cluster.num_indexes(); ++n) {
    if (!cluster.IsNode(n)) continue;
    const NodeState& node = cluster.node(n);
    if (!node.schedulable() || (one_a_node && held.contains(n))) continue;
    int64_t room = cluster.NumFitEmpty(n, job.shape, device);
    if (room == 0 || (may_use && !may_use(node, job))) continue;
    if (one_a_node) room = 1;
    all.nodes.push_back(n);
    all.room_when_empty += room;
    if (!job.topology) continue;
    for (const int32_t id : DomainsOfNode(node, job.topology->level, device != nullptr)) {
      const auto [found, added] = index.try_emplace(id, domains.size());
      if (added) domains.push_back({by_nvlink ? id : kAnyDomain, {}, 0});
      domains[found->second].nodes.push_back(n);
      domains[found->second].room_when_empty += room;
    }
  }
  if (!job.topology || !job.topology->required) domains.push_back(std::move(all));
  domains.erase(std::remove_if(domains.begin(), domains.end(),
                               [&](const NodeDomain& d) { return d.room_when_empty < num_tasks; }),
                domains.end());
  return domains;
}

}  // namespace oneai::fabric
