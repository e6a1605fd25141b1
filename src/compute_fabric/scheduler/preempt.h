// File: compute_fabric/scheduler/preempt.h
//
// Phase 6: whom to stop so that a job that deserves a place gets one.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/scheduler/decisions.h"
#include "compute_fabric/scheduler/place_job.h"

namespace oneai::fabric {

struct PreemptionPlan {
  std::vector<Eviction> evictions;   // whole jobs; empty: none would help
  std::vector<TaskPlacement> tasks;  // where `job` goes when they have stopped
};

// The fewest and cheapest evictions after which `job` fits. Who may be evicted: preemptible jobs of
// the same queue with lower priority; jobs of other queues by QueueTree::MayReclaim that have run
// for the minimum runtime (a strategic reserve's and a sandbox's owner need not wait for it).
// Cost = device-time lost since the last checkpoint, then fewest jobs, then youngest. When the
// gang needs a topology domain, victims are sought domain by domain, and the domain whose victims
// cost least wins: scattered devices are of no use. `state` comes back as it was.
PreemptionPlan FindVictims(SchedulerState& state, const Policy& policy, const JobView& job,
                           const NodeGate& may_use, absl::Time now);

// Work that stopping the job would lose: device-seconds (core-seconds without devices) since its
// last checkpoint.
double EvictionCost(const JobView& job, absl::Time now);

}  // namespace oneai::fabric
