// File: compute_fabric/jobs/job_lifecycle.h
//
// How a job lives, as pure functions on its record: what a report, a lost node, a cancel or the
// passing of time makes of it. The controller applies them to a copy, commits the copy, and only
// then lets anybody see it.
//
// A gang starts, fails and restarts as one; attempt n+1 is placed only when every task of attempt n
// is EXITED or LOST. Other jobs' tasks live one by one and have their own attempts.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "compute_fabric/first_scheduler/cluster_snapshot.h"
#include "oneai/fabric/v1/job.pb.h"
#include "oneai/fabric/v1/node.pb.h"

namespace oneai::fabric {

// An event to be written with the change that caused it.
struct EventDraft {
  std::string kind;  // "task.exited"
  std::string subject;
  std::string message;
  std::string severity;  // "info", "warning", "error"
};
using EventDrafts = std::vector<EventDraft>;

// Each returns whether `job` changed. Call Advance afterwards.

// What a node says of one task. Reports of other attempts than the current one are ignored.
bool ApplyReport(v1::Job& job, const v1::TaskReport& report, absl::Time now, EventDrafts& events);
// The node of this task is gone and has certainly stopped it.
bool ApplyTaskLost(v1::Job& job, int rank, absl::string_view why, absl::Time now,
                   EventDrafts& events);
// The node is there but has no such task: it ended without a report, or (STOPPING) never began.
bool ApplyTaskUnknown(v1::Job& job, int rank, absl::Time now, EventDrafts& events);
// Idempotent; no effect on a finished job.
bool ApplyCancel(v1::Job& job, absl::string_view reason, absl::Time now, EventDrafts& events);
// A finished job becomes PENDING again with its restarts forgiven; false when it has not finished.
bool ApplyRetry(v1::Job& job, EventDrafts& events);
// More or fewer replicas of a non-gang job; surplus ones are stopped.
bool ApplyScale(v1::Job& job, int num_tasks);
// The scheduler's decision. Precondition: the ranks are among RanksToPlace(job, now).
void ApplyPlacement(v1::Job& job, const JobPlacement& placement, absl::Time now,
                    EventDrafts& events);

// Takes every step that time and the tasks' states allow.
bool Advance(v1::Job& job, absl::Time now, EventDrafts& events);

// The ranks that wait for a node now, ascending.
std::vector<int> RanksToPlace(const v1::Job& job, absl::Time now);

// "exited with 1", "was killed by signal 9", "exited with 0".
std::string DescribeExit(const v1::Task& task);

// The delay before restart number `num_restarts` (1 for the first): doubled each time, bounded.
absl::Duration BackoffBefore(const v1::JobSpec& spec, int num_restarts);

}  // namespace oneai::fabric
