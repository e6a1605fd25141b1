// File: compute_fabric/scheduler/place_job.h
//
// Phases 3 to 5 for one job: filter, score, commit gang. The one way to put tasks on nodes, used by
// Plan, by what-ifs, and by preemption after it has freed a domain.
#pragma once

#include <functional>
#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/scheduler/policy.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {

// What stands between a job and a node beyond the node's own state: the calendar, and places that
// backfill keeps for others. Empty: nothing.
using NodeGate = std::function<bool(const NodeState& node, const JobView& job)>;

struct PlaceRequest {
  const JobView* job = nullptr;
  // How many of job->ranks to place: at least this (0: any number above 0 will do) …
  int tasks_min = 0;
  int tasks_max = 0;  // … and at most this
  NodeGate may_use;
};

// What came of it, and what to blame first when nothing did.
struct PlaceOutcome {
  enum class Blocker {
    kNone,
    kQuota,   // the queue admits fewer than tasks_min, at least with some alternative
    kNoRoom,  // too few nodes have room, whoever asks
    kGate,    // nodes have room that may_use refuses to this job
  };
  std::vector<TaskPlacement> tasks;
  Blocker blocker = Blocker::kNone;
};
PlaceOutcome TryPlaceJob(SchedulerState& state, const Policy& policy, const PlaceRequest& request,
                         absl::Time now);

// Takes the tasks' resources in state.cluster and charges state.queues; returns the placements by
// rank, lowest ranks first. Empty: fewer than tasks_min fit (or the queue's quota admits fewer),
// and nothing is taken. A gang gets one kind of device for all ranks when any kind allows it (its
// slowest rank sets the pace), and the fewest domains of its topology wish; required: one domain.
std::vector<TaskPlacement> PlaceJob(SchedulerState& state, const Policy& policy,
                                    const PlaceRequest& request, absl::Time now);

// Undoes a PlaceJob that was tried: rolls the cluster back to `mark`, taken before it, and gives
// the charge back.
void TakeBack(SchedulerState& state, const JobView& job, const std::vector<TaskPlacement>& tasks,
              ClusterState::Mark mark);

}  // namespace oneai::fabric
