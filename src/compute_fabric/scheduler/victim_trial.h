// File: compute_fabric/scheduler/victim_trial.h
//
// Whether a job really fits when some others have stopped: tried on the state, and undone.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/scheduler/place_job.h"
#include "compute_fabric/scheduler/victim_table.h"

namespace oneai::fabric {

struct TrialRequest {
  SchedulerState* state = nullptr;
  const Policy* policy = nullptr;
  const VictimTable* table = nullptr;
  const JobView* job = nullptr;
  const NodeGate* may_use = nullptr;
  absl::Time now;
  int num_tasks = 1;  // the least that is of use
  Amounts needs;      // of those tasks
};

struct TrialOutcome {
  bool placed = false;
  double cost = 0;
  std::vector<int32_t> victims;      // all of them needed
  std::vector<TaskPlacement> tasks;  // as many as fit then
  // Not placed: this one may not be stopped when those in `victims` are (its queue would give back
  // more than it has borrowed). -1: they may, but the job does not fit.
  int32_t refused = -1;
};

// Stops the cheap ones first, each only if the job's queue may take from its queue as it is by
// then; places the job; then lets those run on, the dearest first, without whom it fits as well.
TrialOutcome TryVictims(const TrialRequest& request, std::vector<int32_t> victims);

// What the victim's queue gets back.
Amounts HeldBy(const VictimTable& table, int32_t victim);

}  // namespace oneai::fabric
