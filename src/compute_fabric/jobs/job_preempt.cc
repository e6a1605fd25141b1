// How a job gives way: to a more important one, to a drain, to another number of its own tasks.
#include "absl/strings/str_cat.h"
#include "compute_fabric/jobs/job_lifecycle.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"

namespace oneai::fabric {
namespace {

bool HoldsPlace(const v1::Job& job) {
  return job.state() == v1::STARTING || job.state() == v1::RUNNING;
}

}  // namespace

bool ApplyPreempt(v1::Job& job, v1::StopCause cause, absl::string_view why, absl::Time now,
                  EventDrafts& events) {
  if (!HoldsPlace(job) || job.warned_unix_ms() > 0) return false;
  const v1::PreemptionPolicy& policy = job.spec().preemption();
  // Tasks that are still being launched have nothing to save.
  const bool warn =
      job.state() == v1::RUNNING && policy.warning_signal() > 0 && policy.warning_ms() > 0;
  events.push_back({"job.preempted", job.id(), std::string(why), "info"});
  if (!warn) {
    StopJob(job, cause, why, 0, events);
    Advance(job, now, events);
    return true;
  }
  job.set_stop_cause(cause);
  job.set_stop_message(std::string(why));
  job.set_warned_unix_ms(absl::ToUnixMillis(now));
  job.clear_reasons();
  job.add_reasons(absl::StrCat("stops in ",
                               absl::FormatDuration(absl::Milliseconds(policy.warning_ms())),
                               " or at its next checkpoint: ", why));
  events.push_back({"job.warned", job.id(),
                    absl::StrCat("signal ", policy.warning_signal(), ": ", job.reasons(0)),
                    "info"});
  return true;
}

bool ApplyTaskMove(v1::Job& job, int rank, absl::string_view why, EventDrafts& events) {
  if (job.spec().gang() || !HoldsPlace(job)) return false;
  for (v1::Task& task : *job.mutable_tasks()) {
    if (task.rank() != rank || !IsActive(task.state()) || task.state() == v1::TASK_STOPPING)
      continue;
    task.set_state(v1::TASK_STOPPING);
    task.set_ready(false);
    task.set_stop_cause(v1::STOP_DRAIN);
    events.push_back({"task.moving", job.id(),
                      absl::StrCat("rank ", rank, " leaves ", task.node(), ": ", why), "info"});
    return true;
  }
  return false;
}

bool ApplyResize(v1::Job& job, int num_tasks, absl::string_view why, EventDrafts& events) {
  if (!IsElastic(job.spec()) || !HoldsPlace(job) || job.warned_unix_ms() > 0) return false;
  if (num_tasks < NumTasksMin(job.spec()) || num_tasks > job.spec().num_tasks()) return false;
  const int wanted = num_tasks == NumTasks(job) ? 0 : num_tasks;
  if (wanted == job.num_tasks_wanted()) return false;
  job.set_num_tasks_wanted(wanted);
  events.push_back({"job.resizing", job.id(),
                    wanted == 0 ? absl::StrCat("stays at ", num_tasks, " tasks: ", why)
                                : absl::StrCat("from ", NumTasks(job), " to ", wanted,
                                               " tasks at its next checkpoint: ", why),
                    "info"});
  return true;
}

bool ApplyCheckpoint(v1::Job& job, absl::string_view path, absl::Time now, EventDrafts& events) {
  job.set_last_checkpoint(std::string(path));
  SetTime(job.mutable_last_checkpoint_time(), now);
  if (!HoldsPlace(job)) return true;
  if (job.warned_unix_ms() > 0) {
    StopWarned(job, events);  // its work is safe: nothing is gained by waiting
  } else if (job.num_tasks_wanted() > 0) {
    StopJob(job, v1::STOP_RESIZE,
            absl::StrCat("it goes on with ", job.num_tasks_wanted(), " tasks instead of ",
                         NumTasks(job)),
            0, events);
  }
  Advance(job, now, events);
  return true;
}

}  // namespace oneai::fabric
