// File: compute_fabric/scheduler/wait_scene.h
//
// What a waiting job finds when its turn comes: what is promised to others, and the planned starts
// of those before it in line.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/scheduler/backfill.h"
#include "compute_fabric/scheduler/place_job.h"
#include "compute_fabric/scheduler/policy.h"
#include "compute_fabric/scheduler/promises.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {

// Which gates a trial respects.
enum class Gates { kAll, kCalendarOnly };

// `state` is used as scratch while this lives and is as it was afterwards. Thread-compatible.
class WaitScene {
 public:
  WaitScene(SchedulerState& state, const Policy& policy, const JobView& job, absl::Time now);

  // Whether the node may be used by `job`, whatever is free on it; `why_not` (may be null) in
  // words.
  bool MayUseNode(const NodeState& node, const JobView& job, Gates gates,
                  std::string* why_not) const;
  NodeGate gate(Gates gates = Gates::kAll) const;

  // Where `job` (any variant of the waiting one) would go now; nothing stays taken.
  PlaceOutcome Try(const JobView& job, Gates gates = Gates::kAll);

  // Its planned start, behind those before it.
  PlannedStart PlanStart(const JobView& job) { return window_.Reserve(job); }
  // The starts and ends of what stands in a longer job's way, later than now, ascending.
  std::vector<absl::Time> Deadlines() const;
  // Jobs that were planned before it.
  const std::vector<PlannedStart>& before() const { return before_; }

  SchedulerState& state() { return state_; }
  const Policy& policy() const { return policy_; }
  absl::Time now() const { return now_; }

 private:
  void PlanThoseBefore(const JobView& job);

  SchedulerState& state_;
  const Policy& policy_;
  absl::Time now_;
  PromiseHold promises_;
  BackfillWindow window_;
  std::vector<PlannedStart> before_;
};

}  // namespace oneai::fabric
