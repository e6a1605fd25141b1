// File: compute_fabric/jobs/job_state.h
//
// The state machines of jobs and tasks. States are the wire's enums; what may follow what is here
// and nowhere else.
//
//   job:
//                        placed                all running
//     submit -> PENDING ---------> STARTING -------------------> RUNNING -----> SUCCEEDED   (all
//     exited 0)
//                 ^  ^  \              |   \                      |    |
//                 |  |   \ cancel      |    \ failed, lost,       |    | all tasks of a non-gang
//                 job wait |  |    v            |     \ cancel, limit      |    v |  |  CANCELLED
//                 <----|------> STOPPING <--------+  PENDING or BACKOFF |  |     ^ stopped   | |  |
//                 |  |     +-----------|----------+  +--> FAILED      (no restart left, time limit)
//                 |  +-- node lost, stopped ------+  |
//                 +----- BACKOFF <-------------------+  (restart after a failure)
//     SUCCEEDED, FAILED, CANCELLED -> PENDING on retry
//
//   task:
//     ASSIGNED -> RUNNING -> EXITED        STOPPING after ASSIGNED or RUNNING when it has been told
//     to stop; any of them -> LOST when its node is gone. EXITED and LOST are final for this
//     attempt.
#pragma once

#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "oneai/fabric/v1/job.pb.h"

namespace oneai::fabric {

enum class JobEvent {
  kPlaced,            // at least one task has a node
  kRunning,           // all tasks run (a gang), or one does (otherwise)
  kSucceeded,         // all tasks exited with 0
  kStop,              // cancel, failure, node loss, time limit: tasks must end first
  kTasksWait,         // non-gang: no task is placed, one may be placed now
  kTasksBackOff,      // non-gang: no task is placed, all wait for their backoff
  kStoppedRestart,    // after STOPPING: try again after a backoff
  kStoppedRequeue,    // after STOPPING: try again at once
  kStoppedFailed,     // after STOPPING: no restart left
  kStoppedCancelled,  // after STOPPING, or nothing ran
  kBackoffEnded,
  kRetry,  // by the user, of a finished job
};

// The state after `event`, or nullopt when the event cannot happen in `state` (the caller ignores
// it).
std::optional<v1::JobState> Next(v1::JobState state, JobEvent event);

enum class TaskEvent { kRunning, kExited, kStop, kLost };

// As above, for one task of one attempt. Events that came too late keep a final state.
std::optional<v1::TaskState> Next(v1::TaskState state, TaskEvent event);

// SUCCEEDED, FAILED or CANCELLED.
bool IsFinished(v1::JobState state);
// The task holds resources of its node: ASSIGNED, RUNNING or STOPPING.
bool IsActive(v1::TaskState state);

absl::string_view JobStateName(v1::JobState state);    // "PENDING"
absl::string_view TaskStateName(v1::TaskState state);  // "RUNNING"

}  // namespace oneai::fabric
