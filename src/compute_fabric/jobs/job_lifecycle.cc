#include "compute_fabric/jobs/job_lifecycle.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"

namespace oneai::fabric {
namespace {

v1::Task* FindTask(v1::Job& job, int rank) {
  for (v1::Task& task : *job.mutable_tasks()) {
    if (task.rank() == rank) return &task;
  }
  return nullptr;
}

void FinishTask(v1::Job& job, v1::Task& task, v1::TaskState state, absl::Time now,
                EventDrafts& events) {
  task.set_state(state);
  task.set_ready(false);
  if (!task.has_ended()) SetTime(task.mutable_ended(), now);
  const bool failed = TaskFailed(job.spec(), task);
  const bool expected = !failed || job.state() == v1::STOPPING;
  events.push_back({state == v1::TASK_LOST ? "task.lost" : "task.exited", job.id(),
                    absl::StrCat("rank ", task.rank(), " on ", task.node(), " ", DescribeExit(task),
                                 task.message().empty() ? "" : ": ", task.message()),
                    expected ? "info" : "warning"});
  if (job.spec().gang()) return;
  if (job.state() != v1::STOPPING) {
    OnReplicaEnded(job, task, now, events);
  } else if (CausesRequeue(job.stop_cause())) {
    // Told to stop before it was done, whatever it exited with: it is placed again.
    task.set_state(v1::TASK_STATE_UNSPECIFIED);
  }
}

void TakeExit(v1::Task& task, const v1::TaskReport& report, absl::Time now) {
  task.set_exit_code(report.exit_code());
  task.set_signal(report.signal());
  task.set_message(report.message());
  if (report.state() == v1::TASK_LOST && report.exit_code() == 0 && report.signal() == 0) {
    // The agent found no trace of how it ended; that is not success.
    task.set_exit_code(255);
    if (task.message().empty()) task.set_message("its exit status is unknown");
  }
  SetTime(task.mutable_ended(),
          report.ended_unix_ms() > 0 ? absl::FromUnixMillis(report.ended_unix_ms()) : now);
}

void SetDevices(v1::Task& task, const TaskPlacement& placed) {
  for (const DeviceGrant& grant : placed.grants) {
    task.add_device_ids(grant.id);
    v1::DeviceGrant& held = *task.add_grants();
    held.set_id(grant.id);
    held.set_milli(grant.milli);
    held.set_memory_bytes(grant.memory_bytes);
  }
  if (!placed.device) return;
  v1::DeviceRequest& device = *task.mutable_device();
  device.set_kind(placed.device->kind);
  device.set_count(placed.device->count);
  device.set_milli(placed.device->milli);
  device.set_memory_bytes(placed.device->memory_bytes);
  device.set_relative_throughput(placed.device->relative_throughput);
}

}  // namespace

bool ApplyReport(v1::Job& job, const v1::TaskReport& report, absl::Time now, EventDrafts& events) {
  v1::Task* task = FindTask(job, report.rank());
  if (task == nullptr || task->attempt() != report.attempt() || !IsActive(task->state()))
    return false;
  switch (report.state()) {
    case v1::TASK_RUNNING: {
      const v1::TaskState next = Next(task->state(), TaskEvent::kRunning).value_or(task->state());
      const bool ready = report.ready() && next == v1::TASK_RUNNING;
      if (next == task->state() && ready == task->ready()) return false;
      task->set_state(next);
      task->set_ready(ready);
      if (!task->has_started()) {
        SetTime(task->mutable_started(), report.started_unix_ms() > 0
                                             ? absl::FromUnixMillis(report.started_unix_ms())
                                             : now);
      }
      return true;
    }
    case v1::TASK_EXITED:
    case v1::TASK_LOST:
      TakeExit(*task, report, now);
      FinishTask(job, *task, v1::TASK_EXITED, now, events);
      return true;
    case v1::TASK_ASSIGNED:  // known to the node, not started yet
    case v1::TASK_STOPPING:  // on its way to EXITED
    case v1::TASK_STATE_UNSPECIFIED:
    case v1::TaskState_INT_MIN_SENTINEL_DO_NOT_USE_:
    case v1::TaskState_INT_MAX_SENTINEL_DO_NOT_USE_:
      return false;
  }
  return false;
}

bool ApplyTaskLost(v1::Job& job, int rank, absl::string_view why, absl::Time now,
                   EventDrafts& events) {
  v1::Task* task = FindTask(job, rank);
  if (task == nullptr || !IsActive(task->state())) return false;
  task->set_message(std::string(why));
  FinishTask(job, *task, v1::TASK_LOST, now, events);
  return true;
}

bool ApplyTaskUnknown(v1::Job& job, int rank, absl::Time now, EventDrafts& events) {
  v1::Task* task = FindTask(job, rank);
  if (task == nullptr || !IsActive(task->state())) return false;
  // A task that was being stopped is simply gone; one that should run was lost by its node, which
  // is not the job's fault.
  const bool stopping = task->state() == v1::TASK_STOPPING;
  task->set_message(stopping ? "stopped before it started" : "its node no longer knows it");
  FinishTask(job, *task, stopping ? v1::TASK_EXITED : v1::TASK_LOST, now, events);
  return true;
}

bool ApplyCancel(v1::Job& job, absl::string_view reason, absl::Time now, EventDrafts& events) {
  if (IsFinished(job.state()) || job.cancel_requested()) return false;
  job.set_cancel_requested(true);
  const std::string message = reason.empty() ? "cancelled" : absl::StrCat("cancelled: ", reason);
  StopJob(job, v1::STOP_CANCEL, message, 0, events);
  Advance(job, now, events);
  return true;
}

bool ApplyRetry(v1::Job& job, EventDrafts& events) {
  const std::optional<v1::JobState> next = Next(job.state(), JobEvent::kRetry);
  if (!next) return false;
  job.set_state(*next);
  job.set_cancel_requested(false);
  job.set_num_restarts(0);
  job.clear_stop_cause();
  job.clear_stop_message();
  job.clear_stop_rank();
  job.clear_reasons();
  job.clear_started();
  job.clear_ended();
  job.clear_backoff_until_unix_ms();
  job.clear_attempt_started();
  job.clear_warned_unix_ms();
  job.clear_num_tasks_wanted();
  job.clear_returning();
  for (v1::Task& task : *job.mutable_tasks()) {
    task.set_state(v1::TASK_STATE_UNSPECIFIED);  // to be placed; keeps its attempt, so that numbers
                                                 // never repeat
    task.set_restarts(0);
    task.set_not_before_unix_ms(0);
  }
  events.push_back({"job.retried", job.id(), "submitted again", "info"});
  return true;
}

bool ApplyScale(v1::Job& job, int num_tasks) {
  if (job.spec().gang() || IsFinished(job.state()) || job.spec().num_tasks() == num_tasks)
    return false;
  job.mutable_spec()->set_num_tasks(num_tasks);
  for (v1::Task& task : *job.mutable_tasks()) {
    if (task.rank() < num_tasks || !IsActive(task.state())) continue;
    task.set_state(v1::TASK_STOPPING);
    task.set_ready(false);
  }
  return true;
}

void ApplyPlacement(v1::Job& job, const JobPlacement& placement, absl::Time now,
                    EventDrafts& events) {
  const bool gang = job.spec().gang();
  if (gang) {
    job.set_attempt(job.attempt() + 1);
    job.clear_tasks();
  }
  std::string where;
  for (const TaskPlacement& placed : placement.tasks) {
    v1::Task* task = FindTask(job, placed.rank);
    const v1::Task before = task == nullptr ? v1::Task() : *task;
    if (task == nullptr) task = job.add_tasks();
    task->Clear();
    task->set_rank(placed.rank);
    task->set_attempt(gang ? job.attempt() : before.attempt() + 1);
    task->set_restarts(before.restarts());
    task->set_state(v1::TASK_ASSIGNED);
    task->set_node(placed.node);
    task->set_address(placed.address);
    task->mutable_ports()->Add(placed.ports.begin(), placed.ports.end());
    SetDevices(*task, placed);
    job.set_attempt(std::max(job.attempt(), task->attempt()));
    absl::StrAppend(&where, where.empty() ? "" : ", ", "rank ", placed.rank, " on ", placed.node);
  }
  std::sort(job.mutable_tasks()->begin(), job.mutable_tasks()->end(),
            [](const v1::Task& a, const v1::Task& b) { return a.rank() < b.rank(); });
  if (gang && IsElastic(job.spec())) job.set_num_tasks_now(job.tasks_size());
  job.clear_reasons();
  job.clear_stop_cause();
  job.clear_stop_message();
  job.clear_stop_rank();
  job.clear_returning();
  job.clear_warned_unix_ms();
  job.clear_num_tasks_wanted();
  if (gang) job.clear_attempt_started();
  job.set_state(Next(job.state(), JobEvent::kPlaced).value_or(job.state()));
  events.push_back(
      {"job.placed", job.id(), absl::StrCat("attempt ", job.attempt(), ": ", where), "info"});
  Advance(job, now, events);
}

std::vector<int> RanksToPlace(const v1::Job& job, absl::Time now) {
  std::vector<int> ranks;
  if (IsFinished(job.state()) || job.state() == v1::STOPPING || job.cancel_requested() ||
      job.warned_unix_ms() > 0)
    return ranks;
  if (job.spec().gang()) {
    if (job.state() != v1::PENDING) return ranks;
    const int wanted = job.num_tasks_wanted() > 0 ? job.num_tasks_wanted() : job.spec().num_tasks();
    for (int rank = 0; rank < wanted; ++rank) ranks.push_back(rank);
    return ranks;
  }
  std::vector<const v1::Task*> by_rank(job.spec().num_tasks(), nullptr);
  for (const v1::Task& task : job.tasks()) {
    if (task.rank() < job.spec().num_tasks()) by_rank[task.rank()] = &task;
  }
  for (int rank = 0; rank < job.spec().num_tasks(); ++rank) {
    if (by_rank[rank] == nullptr || WaitsForNode(job.spec(), *by_rank[rank], now))
      ranks.push_back(rank);
  }
  return ranks;
}

absl::Time NextAdvanceTime(const v1::Job& job, absl::Time now) {
  absl::Time next = absl::InfiniteFuture();
  if (IsFinished(job.state())) return next;
  if (job.state() == v1::BACKOFF && job.spec().gang())
    next = std::min(next, BackoffEnd(job.spec(), job.backoff_until_unix_ms(), now));
  if (job.state() == v1::STARTING || job.state() == v1::RUNNING)
    next = std::min({next, WarningEnd(job), TimeLimitEnd(job)});
  if (!job.spec().gang() && job.state() != v1::STOPPING) {
    for (const v1::Task& task : job.tasks()) {
      const absl::Time not_before = BackoffEnd(job.spec(), task.not_before_unix_ms(), now);
      if (!IsActive(task.state()) && not_before > now) next = std::min(next, not_before);
    }
  }
  return next;
}

int NumTasks(const v1::Job& job) {
  return job.spec().gang() && job.num_tasks_now() > 0 ? job.num_tasks_now()
                                                      : job.spec().num_tasks();
}

int NumTasksMin(const v1::JobSpec& spec) {
  return IsElastic(spec) ? spec.num_tasks_min() : spec.num_tasks();
}

std::string DescribeExit(const v1::Task& task) {
  if (task.state() == v1::TASK_LOST) return "was lost with its node";
  if (task.signal() != 0) return absl::StrCat("was killed by signal ", task.signal());
  return absl::StrCat("exited with ", task.exit_code());
}

absl::Duration BackoffBefore(const v1::JobSpec& spec, int num_restarts) {
  const absl::Duration max = BackoffMaxOf(spec);
  absl::Duration delay = BackoffInitialOf(spec);
  for (int i = 1; i < num_restarts && delay < max; ++i) delay *= 2;
  return std::min(delay, max);
}

}  // namespace oneai::fabric
