// File: compute_fabric/scheduler/domain_room.h
//
// How many tasks of a job each domain of a topology level has room for: what a required wish comes
// down to.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "compute_fabric/scheduler/node_room.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {

struct LargestDomain {
  std::string name;
  int64_t num_tasks = 0;
};

// What a node has to offer; nullopt: nothing.
using RoomSource = std::function<std::optional<NodeRoom>(NodeIndex node)>;

// Tasks of the job that fit on the node with any one of its alternatives, at most `limit` (one
// where each task wants a node of its own).
int64_t NumFitForJob(const SchedulerState& state, NodeIndex node, const NodeRoom& room,
                     const JobView& job, int64_t limit, int32_t nvlink_domain = kAnyDomain);

// The domain with most room; nullopt: no node has any. Ties: the first by name.
std::optional<LargestDomain> RoomiestDomain(const SchedulerState& state, const JobView& job,
                                            TopologyLevel level, const RoomSource& room_of);

}  // namespace oneai::fabric
