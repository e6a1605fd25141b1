#include "compute_fabric/jobs/job_steps.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"

namespace oneai::fabric {
namespace {

struct TaskCounts {
  int active = 0;
  int running = 0;
  int done = 0;
  const v1::Task* failed = nullptr;
  const v1::Task* lost = nullptr;
};

TaskCounts Count(const v1::Job& job) {
  TaskCounts counts;
  for (const v1::Task& task : job.tasks()) {
    if (IsActive(task.state())) ++counts.active;
    if (task.state() == v1::TASK_RUNNING) ++counts.running;
    if (TaskDone(job.spec(), task)) ++counts.done;
    if (task.state() == v1::TASK_LOST) counts.lost = &task;
    if (TaskFailed(job.spec(), task) &&
        (counts.failed == nullptr || GetTime(task.ended()) < GetTime(counts.failed->ended()))) {
      counts.failed = &task;
    }
  }
  return counts;
}

void SetReason(v1::Job& job, absl::string_view reason) {
  job.clear_reasons();
  if (!reason.empty()) job.add_reasons(std::string(reason));
}

bool Move(v1::Job& job, JobEvent event) {
  const std::optional<v1::JobState> next = Next(job.state(), event);
  if (!next || *next == job.state()) return false;
  job.set_state(*next);
  return true;
}

void Finish(v1::Job& job, JobEvent event, absl::Time now, EventDrafts& events) {
  if (!Move(job, event)) return;
  SetTime(job.mutable_ended(), now);
  SetReason(job, job.stop_message());
  job.clear_backoff_until_unix_ms();
  job.clear_warned_unix_ms();
  job.clear_num_tasks_wanted();
  job.clear_returning();
  switch (event) {
    case JobEvent::kSucceeded:
      job.clear_reasons();
      job.clear_stop_cause();
      job.clear_stop_message();
      events.push_back({"job.succeeded", job.id(), "all tasks exited with 0", "info"});
      return;
    case JobEvent::kStoppedCancelled:
      events.push_back({"job.cancelled", job.id(), job.stop_message(), "info"});
      return;
    default:
      events.push_back({"job.failed", job.id(), job.stop_message(), "error"});
      return;
  }
}

bool RestartsLeft(const v1::JobSpec& spec, int num_restarts) {
  return spec.restart().max_restarts() < 0 || num_restarts < spec.restart().max_restarts();
}

void RestartAfterFailure(v1::Job& job, absl::Time now, EventDrafts& events) {
  if (!job.spec().gang() || !RestartsLeft(job.spec(), job.num_restarts())) {
    if (job.spec().restart().max_restarts() > 0) {
      job.set_stop_message(absl::StrCat(job.stop_message(), " (after ",
                                        job.spec().restart().max_restarts(), " restarts)"));
    }
    Finish(job, JobEvent::kStoppedFailed, now, events);
    return;
  }
  job.set_num_restarts(job.num_restarts() + 1);
  const absl::Duration delay = BackoffBefore(job.spec(), job.num_restarts());
  job.set_backoff_until_unix_ms(absl::ToUnixMillis(now + delay));
  Move(job, JobEvent::kStoppedRestart);
  SetReason(job, absl::StrCat("restarts in ", absl::FormatDuration(delay), " because ",
                              job.stop_message()));
  events.push_back({"job.restarting", job.id(), job.reasons(0), "warning"});
}

void Requeue(v1::Job& job, EventDrafts& events) {
  const bool preempted = job.stop_cause() == v1::STOP_PREEMPTED;
  Move(job, JobEvent::kStoppedRequeue);
  // Who had to go for somebody more important has no claim to the old place; the others have.
  job.set_returning(!preempted);
  if (preempted) job.set_num_preemptions(job.num_preemptions() + 1);
  job.clear_warned_unix_ms();
  SetReason(job, absl::StrCat("waits for a new place because ", job.stop_message()));
  events.push_back({"job.requeued", job.id(), job.reasons(0),
                    job.stop_cause() == v1::STOP_NODE_LOST ? "warning" : "info"});
}

// All tasks have ended: what the stop was for decides what comes next.
void FinishStop(v1::Job& job, absl::Time now, EventDrafts& events) {
  const TaskCounts counts = Count(job);
  // A gang whose peers fail first, because the node of one of them died, must not pay for it.
  const bool node_lost = job.spec().gang() && counts.lost != nullptr;
  if (job.stop_cause() == v1::STOP_TASK_FAILED && node_lost) {
    job.set_stop_cause(v1::STOP_NODE_LOST);
    job.set_stop_message(
        absl::StrCat("node ", counts.lost->node(), " was lost with rank ", counts.lost->rank()));
  }
  switch (job.stop_cause()) {
    case v1::STOP_CANCEL:
      return Finish(job, JobEvent::kStoppedCancelled, now, events);
    case v1::STOP_TIME_LIMIT:
      return Finish(job, JobEvent::kStoppedFailed, now, events);
    case v1::STOP_NODE_LOST:
    case v1::STOP_PREEMPTED:
    case v1::STOP_RESIZE:
    case v1::STOP_DRAIN:
      return Requeue(job, events);
    default:
      return RestartAfterFailure(job, now, events);
  }
}

void MarkRunning(v1::Job& job, absl::Time now, EventDrafts& events) {
  if (!Move(job, JobEvent::kRunning)) return;
  if (!job.has_started()) SetTime(job.mutable_started(), now);
  SetTime(job.mutable_attempt_started(), now);
  events.push_back({"job.running", job.id(), absl::StrCat("attempt ", job.attempt()), "info"});
}

void AdvanceGang(v1::Job& job, absl::Time now, EventDrafts& events) {
  const TaskCounts counts = Count(job);
  const int num_tasks = NumTasks(job);
  if (job.state() != v1::STARTING && job.state() != v1::RUNNING) return;
  if (counts.lost != nullptr) {
    StopJob(job, v1::STOP_NODE_LOST,
            absl::StrCat("node ", counts.lost->node(), " was lost with rank ", counts.lost->rank()),
            counts.lost->rank(), events);
  } else if (counts.failed != nullptr && job.warned_unix_ms() > 0) {
    StopWarned(job, events);  // it took the warning as its end
  } else if (counts.failed != nullptr) {
    StopJob(job, v1::STOP_TASK_FAILED,
            absl::StrCat("rank ", counts.failed->rank(), " ", DescribeExit(*counts.failed)),
            counts.failed->rank(), events);
  } else if (counts.done == num_tasks) {
    if (!job.has_started()) SetTime(job.mutable_started(), now);
    Finish(job, JobEvent::kSucceeded, now, events);
  } else if (counts.running + counts.done == num_tasks) {
    MarkRunning(job, now, events);
  }
}

// Replicas beyond a smaller num_tasks leave the record once they have ended.
void DropSurplus(v1::Job& job) {
  auto* tasks = job.mutable_tasks();
  tasks->erase(std::remove_if(tasks->begin(), tasks->end(),
                              [&](const v1::Task& task) {
                                return task.rank() >= job.spec().num_tasks() &&
                                       !IsActive(task.state());
                              }),
               tasks->end());
}

void AdvanceReplicas(v1::Job& job, absl::Time now, EventDrafts& events) {
  DropSurplus(job);
  if (IsFinished(job.state()) || job.state() == v1::STOPPING) return;
  const TaskCounts counts = Count(job);
  if (counts.done == job.spec().num_tasks()) {
    if (!job.has_started()) SetTime(job.mutable_started(), now);
    Finish(job, JobEvent::kSucceeded, now, events);
  } else if (counts.running > 0) {
    MarkRunning(job, now, events);
  } else if (counts.active > 0) {
    Move(job, JobEvent::kPlaced);
  } else if (job.warned_unix_ms() > 0) {
    StopWarned(job, events);  // every task took the warning as its end
  } else {
    Move(job, RanksToPlace(job, now).empty() ? JobEvent::kTasksBackOff : JobEvent::kTasksWait);
  }
}

void CheckTimeLimit(v1::Job& job, absl::Time now, EventDrafts& events) {
  if (job.state() != v1::STARTING && job.state() != v1::RUNNING) return;
  if (now >= TimeLimitEnd(job)) {
    const absl::Duration limit = absl::Milliseconds(job.spec().time_limit_ms());
    StopJob(job, v1::STOP_TIME_LIMIT,
            absl::StrCat("ran longer than its time limit of ", absl::FormatDuration(limit)), 0,
            events);
  } else if (now >= WarningEnd(job)) {
    StopWarned(job, events);
  }
}

}  // namespace

void SetTime(google::protobuf::Timestamp* field, absl::Time time) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  field->set_seconds(seconds);
  field->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

absl::Time GetTime(const google::protobuf::Timestamp& field) {
  return absl::FromUnixSeconds(field.seconds()) + absl::Nanoseconds(field.nanos());
}

bool TaskFailed(const v1::JobSpec& spec, const v1::Task& task) {
  if (task.state() != v1::TASK_EXITED) return false;
  return spec.long_running() || task.exit_code() != 0 || task.signal() != 0;
}

bool TaskDone(const v1::JobSpec& spec, const v1::Task& task) {
  return task.state() == v1::TASK_EXITED && !TaskFailed(spec, task);
}

bool CausesRequeue(v1::StopCause cause) {
  return cause == v1::STOP_NODE_LOST || cause == v1::STOP_PREEMPTED || cause == v1::STOP_RESIZE ||
         cause == v1::STOP_DRAIN;
}

bool IsElastic(const v1::JobSpec& spec) {
  return spec.gang() && spec.num_tasks_min() > 0 && spec.num_tasks_min() < spec.num_tasks();
}

absl::Time WarningEnd(const v1::Job& job) {
  if (job.warned_unix_ms() == 0) return absl::InfiniteFuture();
  return absl::FromUnixMillis(job.warned_unix_ms()) +
         absl::Milliseconds(job.spec().preemption().warning_ms());
}

absl::Time TimeLimitEnd(const v1::Job& job) {
  if (job.spec().time_limit_ms() == 0) return absl::InfiniteFuture();
  // Waiting for a place again is not running: the limit counts by attempt.
  if (!job.has_attempt_started()) return absl::InfiniteFuture();
  return GetTime(job.attempt_started()) + absl::Milliseconds(job.spec().time_limit_ms());
}

void StopWarned(v1::Job& job, EventDrafts& events) {
  const std::string message = job.stop_message();
  StopJob(job, job.stop_cause(), message, 0, events);
}

absl::Time BackoffEnd(const v1::JobSpec& spec, int64_t until_unix_ms, absl::Time now) {
  const absl::Time until = absl::FromUnixMillis(until_unix_ms);
  return until - now > BackoffMaxOf(spec) ? now : until;
}

bool WaitsForNode(const v1::JobSpec& spec, const v1::Task& task, absl::Time now) {
  if (IsActive(task.state()) || TaskDone(spec, task)) return false;
  return BackoffEnd(spec, task.not_before_unix_ms(), now) <= now;
}

void StopJob(v1::Job& job, v1::StopCause cause, absl::string_view message, int rank,
             EventDrafts& events) {
  if (job.state() != v1::STOPPING || cause == v1::STOP_CANCEL) {
    job.set_stop_cause(cause);
    job.set_stop_message(std::string(message));
    job.set_stop_rank(rank);
    SetReason(job, message);
  }
  if (!Next(job.state(), JobEvent::kStop)) return;
  for (v1::Task& task : *job.mutable_tasks()) {
    if (!IsActive(task.state())) continue;
    task.set_state(Next(task.state(), TaskEvent::kStop).value_or(task.state()));
    task.set_ready(false);
  }
  if (Move(job, JobEvent::kStop)) {
    events.push_back({"job.stopping", job.id(), std::string(message),
                      cause == v1::STOP_CANCEL ? "info" : "warning"});
  }
}

void OnReplicaEnded(v1::Job& job, v1::Task& task, absl::Time now, EventDrafts& events) {
  task.set_not_before_unix_ms(0);
  const bool moved = task.stop_cause() != v1::STOP_CAUSE_UNSPECIFIED;
  task.clear_stop_cause();
  if (moved || (job.warned_unix_ms() > 0 && TaskFailed(job.spec(), task))) {
    task.set_state(v1::TASK_STATE_UNSPECIFIED);  // placed again, at no cost
    return;
  }
  if (!TaskFailed(job.spec(), task) || task.rank() >= job.spec().num_tasks()) return;
  if (!RestartsLeft(job.spec(), task.restarts())) {
    StopJob(job, v1::STOP_TASK_FAILED, absl::StrCat("rank ", task.rank(), " ", DescribeExit(task)),
            task.rank(), events);
    return;
  }
  // One that ran well for long starts with a short backoff again.
  const bool ran_long =
      task.has_started() && now - GetTime(task.started()) > 2 * BackoffMaxOf(job.spec());
  task.set_restarts(ran_long ? 1 : task.restarts() + 1);
  job.set_num_restarts(job.num_restarts() + 1);
  const absl::Duration delay = BackoffBefore(job.spec(), task.restarts());
  task.set_not_before_unix_ms(absl::ToUnixMillis(now + delay));
  events.push_back(
      {"task.restarting", job.id(),
       absl::StrCat("rank ", task.rank(), " restarts in ", absl::FormatDuration(delay)),
       "warning"});
}

bool Advance(v1::Job& job, absl::Time now, EventDrafts& events) {
  const v1::JobState before = job.state();
  const int num_tasks_before = job.tasks_size();
  if (job.cancel_requested() && (job.state() == v1::PENDING || job.state() == v1::BACKOFF)) {
    Finish(job, JobEvent::kStoppedCancelled, now, events);
  }
  if (job.state() == v1::BACKOFF && job.spec().gang() &&
      now >= BackoffEnd(job.spec(), job.backoff_until_unix_ms(), now)) {
    Move(job, JobEvent::kBackoffEnded);
    job.clear_backoff_until_unix_ms();
  }
  if (job.spec().gang()) {
    AdvanceGang(job, now, events);
  } else {
    AdvanceReplicas(job, now, events);
  }
  CheckTimeLimit(job, now, events);
  if (job.state() == v1::STOPPING && Count(job).active == 0) FinishStop(job, now, events);
  return job.state() != before || job.tasks_size() != num_tasks_before;
}

}  // namespace oneai::fabric
