// File: compute_fabric/scheduler/kept_places.h
//
// The places kept for jobs that wait, node by node, and what is left on a node beside them at any
// instant ahead.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "compute_fabric/scheduler/decisions.h"
#include "compute_fabric/scheduler/release_events.h"

namespace oneai::fabric {

// `num` tasks of a waiting job that a node is kept for.
struct KeptPlace {
  const PlannedStart* plan = nullptr;  // whose; ends with the job's time limit
  absl::Time end;
  const TaskShape* shape = nullptr;
  const DeviceAlternative* device = nullptr;  // null: none
  int32_t kind = -1;
  int64_t num = 0;
};

// Thread-compatible; lives for one pass.
class KeptPlaces {
 public:
  explicit KeptPlaces(const SchedulerState* state) : state_(state) {}

  // One job's place: `num` tasks with `device` on each of the nodes. The plan's nodes are filled.
  const PlannedStart& Keep(const JobView& job, absl::Time start, const DeviceAlternative* device,
                           const std::vector<std::pair<NodeIndex, int64_t>>& nodes);
  int num_jobs() const { return static_cast<int>(reservations_.size()); }
  bool HasAny(NodeIndex node) const { return by_node_.contains(node); }
  // By start; empty: none.
  const std::vector<KeptPlace>& On(NodeIndex node) const;
  // With kept places or holds of the calendar, ascending: where more than releases matters.
  std::vector<NodeIndex> Nodes() const;

  // How many tasks of `shape` fit on the node from `start` to `end` beside all that is kept there,
  // when `free` is free at `start`.
  int64_t NumFitBeside(NodeIndex node, const NodeRoom& free, const ReleaseEvents& releases,
                       const TaskShape& shape, const DeviceAlternative* device, int64_t limit,
                       int32_t nvlink_domain, absl::Time start, absl::Time end) const;
  // Whether all that is kept on the node still fits in its time when `num` tasks of `shape` run
  // there from `now` to `end`. A share may be put on any device that has room: all must do.
  bool LeavesRoom(NodeIndex node, const ReleaseEvents& releases, const TaskShape& shape,
                  const DeviceAlternative* device, int64_t num, absl::Time now,
                  absl::Time end) const;
  // The node's running tasks have changed.
  void Changed(NodeIndex node) { releases_.erase(node); }

 private:
  struct Reservation {
    PlannedStart plan;
    TaskShape shape;
    std::optional<DeviceAlternative> device;
  };

  const std::vector<ReleaseEvent>& ReleasesOn(NodeIndex node, const ReleaseEvents& releases) const;
  // What is free on the node at `time` if nothing new comes, kept places not looked at.
  NodeRoom FreeAt(NodeIndex node, const ReleaseEvents& releases, absl::Time time) const;
  // Takes what is kept on the node at `time`. False: it does not fit.
  bool TakeKept(NodeIndex node, absl::Time time, NodeRoom& room) const;
  bool LeavesRoomOn(NodeIndex node, const ReleaseEvents& releases, const TaskShape& shape,
                    const DeviceAlternative* device, int64_t num, int share_on,
                    absl::Time end) const;

  const SchedulerState* state_;
  mutable std::optional<std::vector<NodeIndex>> nodes_with_holds_;  // found when first asked for
  std::deque<Reservation> reservations_;  // pointers into it stay valid
  absl::flat_hash_map<NodeIndex, std::vector<KeptPlace>> by_node_;
  mutable absl::flat_hash_map<NodeIndex, std::vector<ReleaseEvent>> releases_;  // by node, cached
};

}  // namespace oneai::fabric
