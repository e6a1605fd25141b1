// File: compute_fabric/scheduler/backfill.h
//
// Phase 7: a job that waits gets a planned start, and what it will need then is kept for it; others
// may use it until then (EASY backfill, Lifka, JSSPP'95, over nodes instead of a count).
#pragma once

#include <memory>
#include <string>
#include <vector>

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
  // without one never, holds of the calendar are kept), and keeps its place from then on. Infinite
  // start: never by what is known; nothing is kept.
  PlannedStart Reserve(const JobView& job);

  // Whether `job`, started now on the node, would leave every planned start as it is: it ends
  // before, or there is room for both.
  bool Admits(const NodeState& node, const JobView& job) const;
  // A job has been placed: what it takes is taken from what is kept free.
  void Placed(const JobView& job, const std::vector<TaskPlacement>& tasks);

  int num_reserved() const;
  // The job that keeps `node`, for a reason in words; empty: nobody.
  std::string KeptFor(absl::string_view node) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oneai::fabric
