#include "compute_fabric/scheduler/cluster/task_releases.h"

#include <algorithm>

namespace oneai::fabric {

TaskRelease ReleaseOf(const NodeSpec& node, const TaskShape& shape, const TaskPlacement& task) {
  TaskRelease release{.cpu_milli = shape.cpu_milli,
                      .memory_bytes = shape.memory_bytes,
                      .num_ports = static_cast<int32_t>(task.ports.size())};
  for (const DeviceGrant& grant : task.grants) {
    for (size_t i = 0; i < node.devices.size(); ++i) {
      if (node.devices[i].id != grant.id) continue;
      const bool whole = grant.milli >= kWholeDevice;
      release.devices.push_back({static_cast<int32_t>(i), grant.milli,
                                 whole ? node.devices[i].memory_bytes : grant.memory_bytes});
      break;
    }
  }
  return release;
}

bool TaskReleases::IsCurrent(const ClusterState& cluster, const JobView& job) const {
  // A node that was not there may be by now.
  if (version_ == 0 || tasks_.size() != job.placed.size()) return false;
  return std::all_of(tasks_.begin(), tasks_.end(), [&](const NodeRelease& task) {
    return task.node < cluster.num_indexes() &&
           cluster.node(task.node).spec_version == task.spec_version;
  });
}

absl::Span<const NodeRelease> TaskReleases::Of(const ClusterState& cluster, const JobView& job) {
  if (version_ == cluster.specs_version()) return tasks_;
  if (!IsCurrent(cluster, job)) {
    tasks_.clear();
    for (const TaskPlacement& task : job.placed) {
      const NodeIndex index = cluster.Find(task.node);
      if (index == kNoNode) continue;
      const NodeState& node = cluster.node(index);
      tasks_.push_back({index, node.spec_version, ReleaseOf(node.spec, job.shape, task)});
    }
  }
  version_ = cluster.specs_version();
  return tasks_;
}

void TaskReleases::Clear() {
  version_ = 0;
  tasks_.clear();
}

}  // namespace oneai::fabric
