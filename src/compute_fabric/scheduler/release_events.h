// File: compute_fabric/scheduler/release_events.h
//
// What running tasks will give back, by the time limits of their jobs: the time line that backfill
// walks. Loaded as far as it is asked for, once per pass.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "compute_fabric/scheduler/node_room.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {

struct ReleaseEvent {
  absl::Time end;  // after `now`; InfiniteFuture: the job has no limit
  NodeIndex node = kNoNode;
  TaskRelease release;
};

// Lives for one pass; `state` outlives it. Thread-compatible.
class ReleaseEvents {
 public:
  // A job past its limit, or on its way out, is expected to end one second from now.
  ReleaseEvents(SchedulerState* state, absl::Time now) : state_(state), now_(now) {}

  // The i-th to end; null: there are no more. Valid until the next call.
  const ReleaseEvent* At(size_t i);
  // A job has been placed in this pass (state.jobs knows it).
  void Add(const JobView& job, const std::vector<TaskPlacement>& tasks);
  // Of one node, by end.
  std::vector<ReleaseEvent> OnNode(NodeIndex node) const;

 private:
  absl::Time EndOf(absl::Time expected_end) const;
  void Append(const JobView& job, const TaskPlacement& task, std::vector<ReleaseEvent>& to) const;
  bool IsLoaded() const { return has_all_jobs_ && jobs_loaded_ == jobs_.size(); }
  void ListJobs();
  void LoadMore();

  SchedulerState* state_;
  absl::Time now_;
  std::vector<ReleaseEvent> events_;        // by end, of the first jobs_loaded_ of jobs_
  absl::flat_hash_set<std::string> added_;  // jobs that Add has told
  // By end: the first kFew until more is asked for, then all.
  std::vector<RunningJob*> jobs_;
  bool has_all_jobs_ = false;
  size_t jobs_loaded_ = 0;
  absl::Time loaded_end_ = absl::InfinitePast();  // of the last of them
};

}  // namespace oneai::fabric
