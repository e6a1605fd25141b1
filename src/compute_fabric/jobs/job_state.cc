#include "compute_fabric/jobs/job_state.h"

namespace oneai::fabric {
namespace {

std::optional<v1::JobState> NextOfPending(JobEvent event) {
  switch (event) {
    case JobEvent::kPlaced:
      return v1::STARTING;
    case JobEvent::kTasksBackOff:
      return v1::BACKOFF;
    case JobEvent::kStoppedCancelled:
      return v1::CANCELLED;
    case JobEvent::kSucceeded:  // a non-gang job whose last waiting task was scaled away
      return v1::SUCCEEDED;
    case JobEvent::kRunning:
    case JobEvent::kStop:
    case JobEvent::kTasksWait:
    case JobEvent::kStoppedRestart:
    case JobEvent::kStoppedRequeue:
    case JobEvent::kStoppedFailed:
    case JobEvent::kBackoffEnded:
    case JobEvent::kRetry:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<v1::JobState> NextOfActive(v1::JobState state, JobEvent event) {
  switch (event) {
    case JobEvent::kPlaced:  // one more task of a non-gang job
      return v1::STARTING;
    case JobEvent::kRunning:
      return v1::RUNNING;
    case JobEvent::kSucceeded:
      return v1::SUCCEEDED;
    case JobEvent::kStop:
      return v1::STOPPING;
    case JobEvent::kTasksWait:
      return v1::PENDING;
    case JobEvent::kTasksBackOff:
      return v1::BACKOFF;
    case JobEvent::kStoppedRestart:
    case JobEvent::kStoppedRequeue:
    case JobEvent::kStoppedFailed:
    case JobEvent::kStoppedCancelled:
    case JobEvent::kBackoffEnded:
    case JobEvent::kRetry:
      return std::nullopt;
  }
  return state;
}

std::optional<v1::JobState> NextOfStopping(JobEvent event) {
  switch (event) {
    case JobEvent::kStop:  // a second cause
      return v1::STOPPING;
    case JobEvent::kStoppedRestart:
      return v1::BACKOFF;
    case JobEvent::kStoppedRequeue:
      return v1::PENDING;
    case JobEvent::kStoppedFailed:
      return v1::FAILED;
    case JobEvent::kStoppedCancelled:
      return v1::CANCELLED;
    case JobEvent::kPlaced:
    case JobEvent::kRunning:
    case JobEvent::kSucceeded:
    case JobEvent::kTasksWait:
    case JobEvent::kTasksBackOff:
    case JobEvent::kBackoffEnded:
    case JobEvent::kRetry:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<v1::JobState> NextOfBackoff(JobEvent event) {
  switch (event) {
    case JobEvent::kBackoffEnded:
    case JobEvent::kTasksWait:
      return v1::PENDING;
    case JobEvent::kStoppedCancelled:
      return v1::CANCELLED;
    case JobEvent::kSucceeded:
      return v1::SUCCEEDED;
    case JobEvent::kPlaced:  // non-gang: one task's backoff ended before the others'
      return v1::STARTING;
    case JobEvent::kRunning:
    case JobEvent::kStop:
    case JobEvent::kTasksBackOff:
    case JobEvent::kStoppedRestart:
    case JobEvent::kStoppedRequeue:
    case JobEvent::kStoppedFailed:
    case JobEvent::kRetry:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<v1::JobState> NextOfFinished(JobEvent event) {
  switch (event) {
    case JobEvent::kRetry:
      return v1::PENDING;
    case JobEvent::kPlaced:
    case JobEvent::kRunning:
    case JobEvent::kSucceeded:
    case JobEvent::kStop:
    case JobEvent::kTasksWait:
    case JobEvent::kTasksBackOff:
    case JobEvent::kStoppedRestart:
    case JobEvent::kStoppedRequeue:
    case JobEvent::kStoppedFailed:
    case JobEvent::kStoppedCancelled:
    case JobEvent::kBackoffEnded:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::optional<v1::JobState> Next(v1::JobState state, JobEvent event) {
  switch (state) {
    case v1::PENDING:
      return NextOfPending(event);
    case v1::STARTING:
    case v1::RUNNING:
      return NextOfActive(state, event);
    case v1::STOPPING:
      return NextOfStopping(event);
    case v1::BACKOFF:
      return NextOfBackoff(event);
    case v1::SUCCEEDED:
    case v1::FAILED:
    case v1::CANCELLED:
      return NextOfFinished(event);
    case v1::JOB_STATE_UNSPECIFIED:
    case v1::JobState_INT_MIN_SENTINEL_DO_NOT_USE_:
    case v1::JobState_INT_MAX_SENTINEL_DO_NOT_USE_:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<v1::TaskState> Next(v1::TaskState state, TaskEvent event) {
  switch (state) {
    case v1::TASK_ASSIGNED:
    case v1::TASK_RUNNING:
      switch (event) {
        case TaskEvent::kRunning:
          return v1::TASK_RUNNING;
        case TaskEvent::kExited:
          return v1::TASK_EXITED;
        case TaskEvent::kStop:
          return v1::TASK_STOPPING;
        case TaskEvent::kLost:
          return v1::TASK_LOST;
      }
      return std::nullopt;
    case v1::TASK_STOPPING:
      switch (event) {
        case TaskEvent::kRunning:
        case TaskEvent::kStop:
          return v1::TASK_STOPPING;
        case TaskEvent::kExited:
          return v1::TASK_EXITED;
        case TaskEvent::kLost:
          return v1::TASK_LOST;
      }
      return std::nullopt;
    case v1::TASK_EXITED:
    case v1::TASK_LOST:
      return state;
    case v1::TASK_STATE_UNSPECIFIED:
    case v1::TaskState_INT_MIN_SENTINEL_DO_NOT_USE_:
    case v1::TaskState_INT_MAX_SENTINEL_DO_NOT_USE_:
      return std::nullopt;
  }
  return std::nullopt;
}

bool IsFinished(v1::JobState state) {
  return state == v1::SUCCEEDED || state == v1::FAILED || state == v1::CANCELLED;
}

bool IsActive(v1::TaskState state) {
  return state == v1::TASK_ASSIGNED || state == v1::TASK_RUNNING || state == v1::TASK_STOPPING;
}

absl::string_view JobStateName(v1::JobState state) { return v1::JobState_Name(state); }

absl::string_view TaskStateName(v1::TaskState state) {
  absl::string_view name = v1::TaskState_Name(state);
  constexpr absl::string_view kPrefix = "TASK_";
  return name.substr(0, kPrefix.size()) == kPrefix ? name.substr(kPrefix.size()) : name;
}

}  // namespace oneai::fabric
