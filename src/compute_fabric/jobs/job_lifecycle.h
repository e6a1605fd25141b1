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
#include "compute_fabric/scheduler/decisions.h"
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
// The job must give way: `cause` is STOP_PREEMPTED, STOP_DRAIN or STOP_RESIZE, and costs it no
// restart. A job that runs and asked for a warning goes on for preemption.warning_ms, or until its
// next checkpoint is saved; another one is stopped at once. A task that fails after the warning
// counts as stopped. No effect on a job that holds nothing or is stopping or warned already.
bool ApplyPreempt(v1::Job& job, v1::StopCause cause, absl::string_view why, absl::Time now,
                  EventDrafts& events);
// Moves one task of a non-gang job away from its node: it is stopped with its grace, then placed
// again at no cost.
bool ApplyTaskMove(v1::Job& job, int rank, absl::string_view why, EventDrafts& events);
// An elastic gang that runs should have `num_tasks` ranks from its next checkpoint on.
bool ApplyResize(v1::Job& job, int num_tasks, absl::string_view why, EventDrafts& events);
// A checkpoint of the current attempt is whole: what waited for one happens now.
bool ApplyCheckpoint(v1::Job& job, absl::string_view path, absl::Time now, EventDrafts& events);
// The scheduler's decision. Precondition: the ranks are among RanksToPlace(job, now); an elastic
// gang may get fewer.
void ApplyPlacement(v1::Job& job, const JobPlacement& placement, absl::Time now,
                    EventDrafts& events);

// Takes every step that time and the tasks' states allow.
bool Advance(v1::Job& job, absl::Time now, EventDrafts& events);

// The ranks that wait for a node now, ascending. Of an elastic gang: as many as it would like.
std::vector<int> RanksToPlace(const v1::Job& job, absl::Time now);
// When Advance will next have something to do by the passing of time alone; InfiniteFuture: never.
absl::Time NextAdvanceTime(const v1::Job& job, absl::Time now);

// How many tasks the current attempt has.
int NumTasks(const v1::Job& job);
// The fewest it can do with: num_tasks_min of an elastic gang.
int NumTasksMin(const v1::JobSpec& spec);

// "exited with 1", "was killed by signal 9", "exited with 0".
std::string DescribeExit(const v1::Task& task);

// The delay before restart number `num_restarts` (1 for the first): doubled each time, bounded.
absl::Duration BackoffBefore(const v1::JobSpec& spec, int num_restarts);

}  // namespace oneai::fabric
