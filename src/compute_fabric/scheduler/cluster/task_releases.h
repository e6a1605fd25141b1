// File: compute_fabric/scheduler/cluster/task_releases.h
//
// What the tasks of a job will give back, by node and device number: found once, kept for the
// passes to come, and found anew when the node behind it has changed. Names are looked up here and
// nowhere else, so that a pass may look at 80,000 running tasks.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "compute_fabric/scheduler/cluster/cluster_state.h"
#include "compute_fabric/scheduler/job.h"

namespace oneai::fabric {

// What a task gives back when it ends.
struct TaskRelease {
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  int32_t num_ports = 0;
  struct Device {
    int32_t index = 0;  // in NodeSpec::devices
    int32_t milli = 0;
    int64_t memory_bytes = 0;
  };
  absl::InlinedVector<Device, 2> devices;
};

// Devices that the node does not have are left out.
TaskRelease ReleaseOf(const NodeSpec& node, const TaskShape& shape, const TaskPlacement& task);

struct NodeRelease {
  NodeIndex node = kNoNode;
  uint64_t spec_version = 0;  // NodeState::spec_version that `release` was found with
  TaskRelease release;
};

// Of one job, whose `placed` does not change; when it does, Clear. Thread-compatible.
class TaskReleases {
 public:
  // In the order of job.placed, without tasks on nodes that `cluster` does not have. Valid until
  // the next call. O(1) when no node has changed since the last call, else O(tasks).
  absl::Span<const NodeRelease> Of(const ClusterState& cluster, const JobView& job);
  void Clear();

 private:
  bool IsCurrent(const ClusterState& cluster, const JobView& job) const;

  uint64_t version_ = 0;  // ClusterState::specs_version of the last call; 0: none
  std::vector<NodeRelease> tasks_;
};

}  // namespace oneai::fabric
