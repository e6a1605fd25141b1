// File: compute_fabric/scheduler/pass.h
//
// One pass of the scheduler at work: what Plan's phases share.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "compute_fabric/scheduler/backfill.h"
#include "compute_fabric/scheduler/decisions.h"
#include "compute_fabric/scheduler/order_queues.h"
#include "compute_fabric/scheduler/place_job.h"
#include "compute_fabric/scheduler/policy.h"
#include "compute_fabric/scheduler/preempt.h"
#include "compute_fabric/scheduler/promises.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {

class Pass {
 public:
  Pass(SchedulerState& state, const Policy& policy, absl::Time now);

  PlanResult Run();

 private:
  // Jobs of one class and preemptibility from this time limit on were refused by a gate: the
  // calendar and planned starts let shorter jobs through before longer ones, and within a pass
  // room only shrinks.
  using GateKey = std::pair<JobClass, bool>;

  void ClearHeldNodes();
  void ServePromised();
  void ServeOverdue();
  void ServeQueues();

  NodeGate Gate() const;
  // Places as much of the job as it needs and fits, and writes it down.
  PlaceOutcome::Blocker Place(const JobView& job);
  void Record(const JobView& job, const std::vector<TaskPlacement>& tasks);
  std::string ReasonOf(const std::vector<TaskPlacement>& tasks) const;
  // The job waits: clears or keeps a place for it.
  void Wait(const JobView& job, PlaceOutcome::Blocker blocker);
  QueueOrder::Failure FailureOf(const JobView& job, PlaceOutcome::Blocker blocker);
  bool IsRefusedLikeOthers(const JobView& job) const;
  // Evicts others for the job, if it may and that helps; what they give back is promised to it.
  bool MakeRoom(const JobView& job);
  bool ShrinkFor(const JobView& job);
  void ResizeElastic();
  void AddResize(Resize resize);
  void Reserve(const JobView& job);

  SchedulerState& state_;
  const Policy& policy_;
  absl::Time now_;
  PlanResult result_;
  PromiseHold promises_;
  BackfillWindow window_;
  VictimSearch victims_;
  absl::flat_hash_map<GateKey, absl::Duration> gate_refused_;
  absl::flat_hash_set<std::string> placed_;   // jobs placed in this pass
  absl::flat_hash_set<std::string> overdue_;  // jobs that had their turn before the queues'
  std::vector<const JobView*> waiting_;       // jobs that could not be placed, the first of them
  int num_searches_ = 0;                      // for planned starts; each looks at what runs
  int num_victim_searches_ = 0;
};

}  // namespace oneai::fabric
