// File: compute_fabric/scheduler/cluster/cluster_state.h
//
// The nodes and what is taken of them: the scheduler's working model. Everything a pass tries is
// done here for real and rolled back when it leads nowhere, so that phases see each other's effect
// and a what-if costs what it touched, not the cluster's size.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "compute_fabric/scheduler/cluster/node.h"
#include "compute_fabric/scheduler/cluster/resources.h"
#include "compute_fabric/scheduler/job.h"

namespace oneai::fabric {

// What is left of one device.
struct DeviceState {
  int32_t kind = 0;    // KindName()
  int32_t domain = 0;  // NVLink domain, comparable across nodes
  int32_t milli_free = kWholeDevice;
  int64_t memory_free = 0;
  bool healthy = true;
};

inline constexpr int kNumDeviceClasses = 10;
inline int DeviceClassOf(const DeviceAlternative& device) {
  return device.milli < kWholeDevice ? 0 : std::min<int>(device.count, kNumDeviceClasses - 1);
}

// What is left of a node, for the phases that look inside.
struct NodeState {
  NodeSpec spec;
  int64_t cpu_milli_free = 0;
  int64_t memory_bytes_free = 0;
  std::vector<DeviceState> devices;  // parallel to spec.devices
  int32_t num_ports_free = 0;
  // Place in the steady, seeded order in which near-equal nodes are filled: unique, not dense; zone
  // by zone, rack by rack, so that what stays free lies together.
  int64_t rank = 0;
  // By TopologyLevel; [kNvlink] is -1 unless all devices are of one NVLink domain. A node without
  // the label "rack" ("zone") is a rack (zone) of its own: what is unknown is not near.
  std::vector<int32_t> domain;
  std::vector<int32_t> ports_used;  // ascending
  int32_t num_tasks = 0;
  // Of those with devices, by class: [0] a share of one, [k] k whole ones (the last: or more).
  // Take, TakeExactly and Release keep it; the Clustering policy scores by it.
  std::array<int32_t, kNumDeviceClasses> num_tasks_by_class{};
  // ClusterState::specs_version when `spec` was set; 0: a vacant index.
  uint64_t spec_version = 0;

  bool schedulable() const { return spec.unschedulable_reason.empty(); }
};

inline constexpr int32_t kAnyDomain = -1;

// Which devices of a node a task shall get.
struct DeviceChoice {
  int32_t domain = kAnyDomain;  // only of this NVLink domain (DeviceState::domain)
  int device = -1;  // for a share of one: this index of NodeState::devices; -1: the tightest
};

// Thread-compatible; copyable (a deep copy, for what-ifs on another thread).
class ClusterState {
 public:
  // A point to go back to. Marks nest; rolling back to one drops those after it.
  using Mark = size_t;

  ClusterState();
  ~ClusterState();
  ClusterState(const ClusterState&);
  ClusterState& operator=(const ClusterState&);

  // Adds the node or replaces its spec; what is taken on it stays taken. Not undone by rollback and
  // only between passes (no open mark). Equal specs cost nothing.
  NodeIndex SetNode(const NodeSpec& spec);
  void RemoveNode(absl::string_view name);
  NodeIndex Find(absl::string_view name) const;  // kNoNode
  // All indexes below this; some may be vacant (IsNode).
  NodeIndex num_indexes() const;
  bool IsNode(NodeIndex node) const;
  // Of a vacant index: empty.
  const NodeState& node(NodeIndex node) const;
  int64_t num_nodes() const;
  // Changes when a node comes, goes or gets another spec, to a number that no other change in this
  // process had: equal versions, of copies too, stand for equal specs. Never 0.
  uint64_t specs_version() const;
  // Sum over nodes that are in service (devices: healthy ones), by resource.
  const Amounts& capacity() const;
  // Sum of what is free on nodes that are in service (devices: healthy ones).
  const Amounts& free() const;

  int32_t KindOf(absl::string_view kind) const;  // -1: no node has it
  const std::string& KindName(int32_t kind) const;

  // Whether one more task of `shape` with `device` (one of its alternatives, null: none) fits on
  // the node now: state, selector, CPU, memory, ports, healthy devices with enough left. Holds of
  // the calendar are not looked at (calendar/calendar.h).
  bool Fits(NodeIndex node, const TaskShape& shape, const DeviceAlternative* device,
            int32_t nvlink_domain = kAnyDomain) const;
  // How many fit together, at most `limit`.
  int64_t NumFit(NodeIndex node, const TaskShape& shape, const DeviceAlternative* device,
                 int64_t limit, int32_t nvlink_domain = kAnyDomain) const;
  // The same on the node when empty, healthy and in service: what it could ever take.
  int64_t NumFitEmpty(NodeIndex node, const TaskShape& shape,
                      const DeviceAlternative* device) const;

  // Takes a task's resources: shared devices by the score policy's choice of device, whole devices
  // within one NVLink domain where they can be. Precondition: Fits (in choice.domain).
  TaskPlacement Take(NodeIndex node, const TaskShape& shape, const DeviceAlternative* device,
                     int rank, uint64_t port_seed, DeviceChoice choice = {});
  // Takes exactly what `placement` says, whether it fits or not (a node may have shrunk): what a
  // task holds is a fact. Unknown nodes are ignored; what is held of a device that the node does
  // not have (any more) is remembered and counts when the device comes back.
  void TakeExactly(const TaskShape& shape, const TaskPlacement& placement);
  // Gives back what a task took.
  void Release(const TaskShape& shape, const TaskPlacement& placement);

  // The order of near-equal nodes (NodeState::rank). Only between passes; an equal seed costs
  // nothing.
  void SetOrderSeed(uint64_t seed);
  // Rises when a node comes or goes, or its rank or domains change: when an index by rank or domain
  // must be laid out anew.
  uint64_t order_version() const;

  Mark mark() const;
  void RollbackTo(Mark mark);
  // Forgets the undo log: what was done stands. Marks are void.
  void Keep();

  // Change feed for indexes: rises with every change of a node. Entries before the last Keep() may
  // be merged, never lost.
  uint64_t version() const;
  // Nodes changed after `version`, each once or more.
  absl::Span<const NodeIndex> ChangedSince(uint64_t version) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oneai::fabric
