#include "compute_fabric/scheduler/domain_room.h"

#include <algorithm>
#include <map>

#include "compute_fabric/scheduler/cluster/node_fit.h"

namespace oneai::fabric {
namespace {

std::string LabelOr(const NodeSpec& node, const char* label) {
  const auto it = node.labels.find(label);
  return it == node.labels.end() ? node.name : it->second;
}

std::string NameOf(const NodeSpec& node, TopologyLevel level) {
  switch (level) {
    case TopologyLevel::kNvlink:
    case TopologyLevel::kHost:
      return node.name;
    case TopologyLevel::kRack:
      return LabelOr(node, "rack");
    case TopologyLevel::kZone:
      return LabelOr(node, "zone");
  }
  return node.name;
}

}  // namespace

int64_t NumFitForJob(const SchedulerState& state, NodeIndex node, const NodeRoom& room,
                     const JobView& job, int64_t limit, int32_t nvlink_domain) {
  const NodeSpec& spec = state.cluster.node(node).spec;
  if (!MatchesSelector(spec, job.shape.node_selector)) return 0;
  if (job.spread == SpreadPolicy::kNode) {
    const bool used =
        std::any_of(job.placed.begin(), job.placed.end(),
                    [&](const TaskPlacement& task) { return task.node == spec.name; });
    limit = std::min<int64_t>(limit, used ? 0 : 1);
  }
  if (job.shape.devices.empty()) {
    return NumFitInRoom(room, spec, job.shape, nullptr, -1, limit);
  }
  int64_t most = 0;
  for (const DeviceAlternative& device : job.shape.devices) {
    most = std::max(most, NumFitInRoom(room, spec, job.shape, &device,
                                       state.cluster.KindOf(device.kind), limit, nvlink_domain));
  }
  return most;
}

std::optional<LargestDomain> RoomiestDomain(const SchedulerState& state, const JobView& job,
                                            TopologyLevel level, const RoomSource& room_of) {
  const int64_t limit = static_cast<int64_t>(job.ranks.size());
  const bool by_device = level == TopologyLevel::kNvlink && !job.shape.devices.empty();
  std::map<std::string, int64_t> sums;
  for (NodeIndex node = 0; node < state.cluster.num_indexes(); ++node) {
    if (!state.cluster.IsNode(node)) continue;
    const std::optional<NodeRoom> room = room_of(node);
    if (!room) continue;
    const NodeState& at = state.cluster.node(node);
    if (!by_device) {
      sums[NameOf(at.spec, level)] += NumFitForJob(state, node, *room, job, limit);
      continue;
    }
    std::vector<int32_t> seen;
    for (size_t i = 0; i < at.devices.size(); ++i) {
      const int32_t domain = at.devices[i].domain;
      if (std::find(seen.begin(), seen.end(), domain) != seen.end()) continue;
      seen.push_back(domain);
      const std::string& name = at.spec.devices[i].nvlink_domain;
      sums[name.empty() ? at.spec.name : name] +=
          NumFitForJob(state, node, *room, job, limit, domain);
    }
  }
  std::optional<LargestDomain> best;
  for (const auto& [name, num_tasks] : sums) {
    if (num_tasks > 0 && (!best || num_tasks > best->num_tasks)) best = {name, num_tasks};
  }
  return best;
}

}  // namespace oneai::fabric
