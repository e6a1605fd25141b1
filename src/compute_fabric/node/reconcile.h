// File: compute_fabric/node/reconcile.h
//
// What an agent has to do so that its node runs what the controller wants: a pure function.
//
//   (unknown) --start--> kRunning --stop--> kStopping --> kExited --forget--> kForgotten
//                            \------------- exits ----------^
//
// An attempt runs at most once: whatever is known, in any phase, is never started again.
#pragma once

#include <vector>

#include "compute_fabric/node/task_key.h"

namespace oneai::fabric {

enum class TaskPhase { kRunning, kStopping, kExited, kForgotten };

struct KnownTask {
  TaskKey key;
  TaskPhase phase = TaskPhase::kRunning;
  bool logs_shipped = false;  // the controller has all of its output
};

// One answer of the controller.
struct DesiredTasks {
  std::vector<TaskKey> run;
  std::vector<TaskKey> forget;  // their end is durable at the controller
};

struct ReconcilePlan {
  std::vector<TaskKey> start;
  std::vector<TaskKey> stop;
  std::vector<TaskKey> forget;

  bool operator==(const ReconcilePlan&) const = default;
};

// start:  desired and unknown, unless another attempt of the same rank still runs here; that one is
// stopped first. stop:   running and not desired. forget: ended, no longer desired, released by the
// controller, and its output shipped; anything less would lose logs. Results are in the order of
// `desired.run`, `known`, `known`.
ReconcilePlan Reconcile(const DesiredTasks& desired, const std::vector<KnownTask>& known);

}  // namespace oneai::fabric
