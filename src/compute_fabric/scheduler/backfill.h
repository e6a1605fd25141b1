// File: compute_fabric/scheduler/backfill.h
//
// Phase 7: a job that waits gets a planned start, and what it will need then is kept for it; others
// may use it until then (EASY backfill, Lifka, JSSPP'95, over nodes instead of a count).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "compute_fabric/scheduler/decisions.h"
#include "compute_fabric/scheduler/place_job.h"

namespace oneai::fabric {

// The planned starts of one pass. Jobs whose needs do not meet (other kinds of device, other nodes)
// do not hold each other up. Thread-compatible; lives for one pass.
class BackfillWindow {
 public:
  BackfillWindow(SchedulerState* state, const Policy* policy, absl::Time now);
  ~BackfillWindow();

  // Finds when `job` can start if nothing new comes (running jobs end at their time limit, those
  // without one never, holds of the calendar and earlier reservations are kept), and keeps its
  // place from then on. Infinite start: never by what is known; nothing is kept, but for a gang
  // that has waited policy.hold_after: for it nodes are kept from jobs without time limit.
  //
  // Nodes are chosen in their steady order, so that the next pass keeps the same ones: a planned
  // start moves only when something ends early or goes before it.
  PlannedStart Reserve(const JobView& job);
  // Keeps the place that an eviction makes for `job`, from `start` on.
  void Keep(const JobView& job, const std::vector<TaskPlacement>& tasks, absl::Time start);

  // Whether `job`, started now with as many of its ranks on the node as fit, would leave every
  // planned start as it is: it ends before, or there is room for both.
  bool Admits(const NodeState& node, const JobView& job) const;
  // The most tasks of `job`, at most `limit`, for which that is so.
  int64_t NumAdmitted(const NodeState& node, const JobView& job, int64_t limit) const;
  // A job has been placed (state.jobs knows it): what it takes is taken from what is kept free.
  void Placed(const JobView& job, const std::vector<TaskPlacement>& tasks);

  int num_reserved() const;
  // The planned start that keeps `node`, the earliest; null: nobody. Valid until the next Reserve.
  const PlannedStart* KeptFor(absl::string_view node) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oneai::fabric
