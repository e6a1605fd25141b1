// File: compute_fabric/node/reconcile.cc
#include "compute_fabric/node/reconcile.h"

#include <set>
#include <utility>

namespace oneai::fabric {

ReconcilePlan Reconcile(const DesiredTasks& desired, const std::vector<KnownTask>& known) {
  const std::set<TaskKey> run(desired.run.begin(), desired.run.end());
  const std::set<TaskKey> released(desired.forget.begin(), desired.forget.end());
  std::set<TaskKey> known_keys;
  std::set<std::pair<std::string, int>> busy_ranks;
  ReconcilePlan plan;
  for (const KnownTask& task : known) {
    known_keys.insert(task.key);
    switch (task.phase) {
      case TaskPhase::kRunning:
        if (!run.contains(task.key)) plan.stop.push_back(task.key);
        [[fallthrough]];
      case TaskPhase::kStopping:
        busy_ranks.insert({task.key.job_id, task.key.rank});
        break;
      case TaskPhase::kExited:
        if (released.contains(task.key) && !run.contains(task.key) && task.logs_shipped) {
          plan.forget.push_back(task.key);
        }
        break;
      case TaskPhase::kForgotten:
        break;
    }
  }
  for (const TaskKey& key : desired.run) {
    if (known_keys.contains(key)) continue;
    // Inserting marks the rank, so that two attempts in one answer do not start together either.
    if (busy_ranks.insert({key.job_id, key.rank}).second) plan.start.push_back(key);
  }
  return plan;
}

}  // namespace oneai::fabric
