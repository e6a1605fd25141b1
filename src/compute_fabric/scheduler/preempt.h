// File: compute_fabric/scheduler/preempt.h
//
// Phase 6: whom to stop so that a job that deserves a place gets one.
//
//   who may be stopped -> nodes by domain -> cheapest victims each -> try the best for real ->
//   drop who is not needed -> the cheapest that worked
#pragma once

#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/scheduler/decisions.h"
#include "compute_fabric/scheduler/place_job.h"

namespace oneai::fabric {

struct PreemptionPlan {
  std::vector<Eviction> evictions;   // whole jobs; empty: none would help
  std::vector<TaskPlacement> tasks;  // where `job` goes when they have stopped
};

// The cheapest evictions found after which `job` fits: tasks_min of a gang, all ranks of another
// job or, failing that, one. Who may be evicted: preemptible jobs of the same queue with lower
// priority; jobs of other queues by QueueTree::MayReclaim that have run for ReclaimGuard (who takes
// back the nominal of a strategic reserve or a sandbox need not wait for it, the first time). When
// the gang needs a topology domain, victims are sought domain by domain, and the domain whose
// victims cost least wins: scattered devices are of no use. Works for jobs that wait for quota too:
// who holds it is stopped. Never in vain: the plan has been tried, and each eviction in it is
// needed. At most policy.evictions_max evictions. `state` comes back as it was.
//
// Fewest and cheapest is weighted set cover, so greedy: tests/compute_fabric/scheduler/
// preempt_optimum_test.cc measures it against brute force. O(nodes + tasks that run).
PreemptionPlan FindVictims(SchedulerState& state, const Policy& policy, const JobView& job,
                           const NodeGate& may_use, absl::Time now);

// The same for the many jobs of one pass, in which nothing is released: who runs is looked up once;
// a class of a queue that nothing can help is not searched for again; the number of searches is
// bounded (searches_max), the rest waits for the next pass. Lives for one pass; `state` and
// `policy` outlive it. Thread-compatible.
class VictimSearch {
 public:
  static constexpr int kSearchesMax = 16;
  VictimSearch(SchedulerState* state, const Policy* policy, absl::Time now);
  ~VictimSearch();

  PreemptionPlan Find(const JobView& job, const NodeGate& may_use);
  // Whether the job might take from anybody: by priority in its queue, or from a queue that borrows
  // what it needs (also while it borrows itself). Looks at queues only; false: Find finds nobody.
  bool IsAnyoneInReach(const JobView& job);
  // The plan is carried out: its evictions count against evictions_max from now on. (That they are
  // on their way out is read from the job table.)
  void Carried(const PreemptionPlan& plan);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Work that stopping the job would lose, in device-seconds (core-seconds without devices): what it
// has done since its last checkpoint, 2 minutes to come back, and 600 for the disturbance, so that
// one job is stopped rather than many that have just begun.
double EvictionCost(const JobView& job, absl::Time now);

}  // namespace oneai::fabric
