// File: compute_fabric/jobs/job_steps.h
//
// The single steps out of which job_lifecycle.h is built.
#pragma once

#include "compute_fabric/jobs/job_lifecycle.h"

namespace oneai::fabric {

void SetTime(google::protobuf::Timestamp* field, absl::Time time);
absl::Time GetTime(const google::protobuf::Timestamp& field);

// An ended task that counts as a failure of the job's own making: a code or signal, or any end of a
// replica.
bool TaskFailed(const v1::JobSpec& spec, const v1::Task& task);
// An ended task that has done its work.
bool TaskDone(const v1::JobSpec& spec, const v1::Task& task);
// A task of a non-gang job that should be placed (again) now.
bool WaitsForNode(const v1::JobSpec& spec, const v1::Task& task, absl::Time now);

// A stop after which the job is placed again at no cost to it.
bool CausesRequeue(v1::StopCause cause);
// A gang whose number of tasks may change.
bool IsElastic(const v1::JobSpec& spec);
// When a job that was warned is stopped; InfiniteFuture: it was not warned.
absl::Time WarningEnd(const v1::Job& job);
// When the present attempt has run for its time limit; InfiniteFuture: no limit, or it does not
// run.
absl::Time TimeLimitEnd(const v1::Job& job);
// Stops a job that was warned, for the cause that it was warned of.
void StopWarned(v1::Job& job, EventDrafts& events);

// When a backoff until then ends, seen from `now`: at once, when that is further away than any
// backoff lasts, because the clock has been set back since.
absl::Time BackoffEnd(const v1::JobSpec& spec, int64_t until_unix_ms, absl::Time now);

// Tells every active task to stop and remembers why. A cancel replaces an earlier cause; otherwise
// the first one stands. A job of which nothing runs goes on to its end in Advance.
void StopJob(v1::Job& job, v1::StopCause cause, absl::string_view message, int rank,
             EventDrafts& events);

// A task of a non-gang job has ended: gives it its backoff, or stops the job when no restart is
// left.
void OnReplicaEnded(v1::Job& job, v1::Task& task, absl::Time now, EventDrafts& events);

}  // namespace oneai::fabric
