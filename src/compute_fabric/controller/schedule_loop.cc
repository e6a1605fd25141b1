#include "compute_fabric/controller/schedule_loop.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "base/log/log.h"
#include "base/status.h"
#include "compute_fabric/controller/cluster_view.h"
#include "compute_fabric/controller/job_gates.h"
#include "compute_fabric/first_scheduler/plan.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"
#include "compute_fabric/jobs/placed_attempt.h"

namespace oneai::fabric {
namespace {

constexpr int64_t kLastOutputBytes = 2048;
constexpr int kLastOutputLines = 12;
// How long after a failure its output may still be on the way from the node.
constexpr absl::Duration kLastOutputWait = absl::Seconds(3);

// From the announcement that an attempt is given up until a cut-off agent has read it: it looks
// once a second.
constexpr absl::Duration kNoticeLossMax = absl::Seconds(3);

const Record<v1::Node>* FindNode(const std::vector<Record<v1::Node>>& nodes,
                                 const std::string& name) {
  const auto it = std::find_if(nodes.begin(), nodes.end(),
                               [&](const auto& n) { return n.value->info().name() == name; });
  return it == nodes.end() ? nullptr : &*it;
}

// The last lines of `text`, whole.
std::string LastLines(absl::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  size_t start = text.size();
  for (int i = 0; i < kLastOutputLines && start != absl::string_view::npos && start > 0; ++i) {
    start = text.rfind('\n', start - 1);
  }
  if (start == absl::string_view::npos || start == 0) return Printable(text, kLastOutputBytes);
  return Printable(text.substr(start + 1), kLastOutputBytes);
}

bool SameReasons(const v1::Job& job, const std::vector<std::string>& reasons) {
  return std::equal(job.reasons().begin(), job.reasons().end(), reasons.begin(), reasons.end());
}

}  // namespace

void ScheduleLoop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void ScheduleLoop::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  state_->Wake();
  if (thread_.joinable()) thread_.join();
}

void ScheduleLoop::Run() {
  bool failing = false;
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      if (stopping_) return;
    }
    const int64_t seen = state_->version();
    const absl::Status status = Step();
    if (!status.ok() && !failing)
      Log::Error("scheduling round failed; retrying", {{"error", status}});
    failing = !status.ok();
    state_->WaitForChange(failing ? state_->version() : seen,
                          failing ? absl::Seconds(1) : options_->tick);
  }
}

absl::Status ScheduleLoop::Step() {
  const absl::Time now = state_->Now();
  NoticePause(now);
  RETURN_IF_ERROR(JudgeNodes(now));
  RETURN_IF_ERROR(AdvanceJobs(now));
  RETURN_IF_ERROR(ReconcileEndpoints(now));
  return PlaceJobs(now);
}

// A controller that was suspended, or whose clock jumped ahead, heard nobody in that time: it must
// not blame the nodes. After a jump back leases would last longer by as much.
void ScheduleLoop::NoticePause(absl::Time now) {
  const absl::Duration gap = now - last_step_;
  const bool jumped = gap > options_->lease / 2 || gap < absl::ZeroDuration();
  if (last_step_ != absl::InfinitePast() && jumped) sessions_->ExtendLeases(gap);
  last_step_ = now;
}

absl::Status ScheduleLoop::JudgeNodes(absl::Time now) {
  for (const Record<v1::Node>& node : state_->nodes().All()) {
    const std::string& name = node.value->info().name();
    const absl::Time lease_end = sessions_->LastHeartbeat(name) + options_->lease;
    if (now < lease_end) continue;
    if (node.value->state() != v1::LOST) {
      RETURN_IF_ERROR(
          state_
              ->UpdateNode(name,
                           [&](v1::Node& lost, EventDrafts& events) {
                             if (now < sessions_->LastHeartbeat(name) + options_->lease)
                               return false;
                             lost.set_state(v1::LOST);
                             lost.set_message(absl::StrCat("no heartbeat for ",
                                                           absl::FormatDuration(options_->lease)));
                             SetTime(lost.mutable_last_heartbeat(), sessions_->LastHeartbeat(name));
                             events.push_back({"node.lost", name, lost.message(), "error"});
                             return true;
                           })
              .status());
    }
    if (now >= lease_end + options_->node_fence) RETURN_IF_ERROR(LoseTasks(name, lease_end, now));
  }
  return absl::OkStatus();
}

absl::Status ScheduleLoop::LoseTasks(const std::string& node, absl::Time lease_end,
                                     absl::Time now) {
  for (const JobRecord& record : state_->JobsOnNode(node)) {
    const v1::Job& lost = *record.value;
    // A node that is only cut off must first learn that its attempt is given up.
    const absl::StatusOr<absl::Time> announced = AnnounceLoss(lost, node, now);
    if (!announced.ok()) {
      Log::Warning("cannot announce that an attempt is given up; its job waits",
                   {{"job", lost.id()}, {"error", announced.status()}});
      continue;
    }
    // Fence and announcement only begin to stop a task; until its grace is over it may still run.
    if (now < *announced + kNoticeLossMax + GraceOf(lost.spec())) continue;
    RETURN_IF_ERROR(state_
                        ->UpdateJob(record.value->id(),
                                    [&](v1::Job& job, EventDrafts& events) {
                                      bool changed = false;
                                      std::vector<int> ranks;
                                      for (const v1::Task& task : job.tasks()) {
                                        if (task.node() == node) ranks.push_back(task.rank());
                                      }
                                      for (int rank : ranks)
                                        changed |= ApplyTaskLost(
                                            job, rank, absl::StrCat("node ", node, " is lost"), now,
                                            events);
                                      changed |= Advance(job, now, events);
                                      return changed;
                                    })
                        .status());
  }
  return absl::OkStatus();
}

absl::Status ScheduleLoop::AdvanceJobs(absl::Time now) {
  for (const std::string& id : state_->job_index().TakeChanged()) to_advance_.insert(id);
  for (std::string& id : timers_.TakeDue(now)) to_advance_.insert(std::move(id));
  // Jobs that end here may let others go on, which then are added behind or taken next time.
  while (!to_advance_.empty()) {
    const std::string id = *to_advance_.begin();
    const JobRecord record = state_->jobs().Find(id);
    if (record.value == nullptr || IsFinished(record.value->state())) {
      timers_.Remove(id);
      if (record.value != nullptr) NoticeEnd(*record.value);
    } else {
      // On an error it stays for the next round.
      RETURN_IF_ERROR(AdvanceJob(record, now));
    }
    to_advance_.erase(id);
  }
  for (const std::string& id :
       std::vector<std::string>(awaiting_output_.begin(), awaiting_output_.end())) {
    const JobRecord record = state_->jobs().Find(id);
    const bool waits = record.value != nullptr && record.value->state() == v1::FAILED &&
                       record.value->reasons_size() == 1 &&
                       now - GetTime(record.value->ended()) <= 2 * kLastOutputWait;
    if (!waits) {
      awaiting_output_.erase(id);
    } else {
      RETURN_IF_ERROR(ShowLastOutput(*record.value, now));
    }
  }
  return absl::OkStatus();
}

void ScheduleLoop::NoticeEnd(const v1::Job& job) {
  if (job.state() == v1::FAILED && job.stop_cause() == v1::STOP_TASK_FAILED)
    awaiting_output_.insert(job.id());
  if (job.state() == v1::SUCCEEDED) return;
  for (const std::string& whom : {job.id(), job.array_id()}) {
    if (whom.empty()) continue;
    for (std::string& id : state_->job_index().DependentsOf(whom))
      to_advance_.insert(std::move(id));
  }
}

absl::Status ScheduleLoop::AdvanceJob(const JobRecord& record, absl::Time now) {
  const std::string never =
      record.value->spec().depends_on_size() > 0 && record.value->state() == v1::PENDING
          ? NeverRunsBecause(*state_, *record.value)
          : "";
  ASSIGN_OR_RETURN(const JobRecord after,
                   state_->UpdateJob(record.value->id(), [&](v1::Job& copy, EventDrafts& events) {
                     bool changed = !never.empty() && ApplyCancel(copy, never, now, events);
                     changed |= Advance(copy, now, events);
                     return changed;
                   }));
  timers_.Set(record.value->id(), NextAdvanceTime(*after.value, now));
  return absl::OkStatus();
}

// What the failing rank wrote last belongs to the reason; it may come from the node a moment after
// the exit itself.
absl::Status ScheduleLoop::ShowLastOutput(const v1::Job& job, absl::Time now) {
  if (job.state() != v1::FAILED || job.stop_cause() != v1::STOP_TASK_FAILED ||
      job.reasons_size() != 1)
    return absl::OkStatus();
  const absl::Duration age = now - GetTime(job.ended());
  if (age > 2 * kLastOutputWait) return absl::OkStatus();
  for (const v1::Task& task : job.tasks()) {
    if (task.rank() != job.stop_rank()) continue;
    const LogName name{
        .job_id = job.id(), .rank = task.rank(), .attempt = task.attempt(), .stream = v1::OUTPUT};
    const absl::StatusOr<LogSlice> tail = logs_->Read(name, -kLastOutputBytes, kLastOutputBytes);
    if (!tail.ok() || tail->data.empty() || (!tail->eof && age < kLastOutputWait))
      return absl::OkStatus();
    return state_
        ->UpdateJob(job.id(),
                    [&](v1::Job& copy, EventDrafts&) {
                      if (copy.state() != v1::FAILED || copy.reasons_size() != 1) return false;
                      copy.add_reasons(absl::StrCat("last output of rank ", task.rank(), ":\n",
                                                    LastLines(tail->data)));
                      return true;
                    })
        .status();
  }
  return absl::OkStatus();
}

absl::Status ScheduleLoop::PlaceJobs(absl::Time now) {
  std::vector<JobRecord> jobs = state_->FindJobs(state_->job_index().Unfinished());
  for (const JobRecord& job : jobs) {
    const std::vector<std::string> gates = GatesOf(*state_, *job.value);
    if (!gates.empty()) RETURN_IF_ERROR(SetReasons(job.value->id(), gates, now));
  }
  std::erase_if(jobs, [&](const JobRecord& job) { return !GatesOf(*state_, *job.value).empty(); });
  const std::vector<Record<v1::Node>> nodes = state_->nodes().All();
  const ClusterSnapshot snapshot = MakeSnapshot(jobs, nodes, state_->queues().All(), now);
  if (snapshot.pending.empty()) return absl::OkStatus();
  const PlacementPlan plan = Plan(snapshot, now);
  for (const JobPlacement& placement : plan.placements) {
    const absl::Status committed = CommitPlacement(placement, jobs, nodes);
    // Somebody was faster: the next round sees it.
    if (committed.ok() || absl::IsAborted(committed)) continue;
    // One job's folder (a full disk, say) must not hold up the others.
    RETURN_IF_ERROR(SetReasons(placement.job_id, {std::string(committed.message())}, now));
  }
  for (const PendingReason& pending : plan.pending) {
    RETURN_IF_ERROR(SetReasons(pending.job_id, pending.reasons, now));
  }
  return absl::OkStatus();
}

// Why the job waits, when that has changed.
absl::Status ScheduleLoop::SetReasons(const std::string& job_id,
                                      const std::vector<std::string>& reasons, absl::Time now) {
  return state_
      ->UpdateJob(job_id,
                  [&](v1::Job& job, EventDrafts&) {
                    if (RanksToPlace(job, now).empty() || SameReasons(job, reasons)) return false;
                    job.mutable_reasons()->Assign(reasons.begin(), reasons.end());
                    return true;
                  })
      .status();
}

absl::StatusOr<absl::Time> ScheduleLoop::AnnounceLoss(const v1::Job& job, const std::string& node,
                                                      absl::Time now) {
  const auto known = announced_losses_.find({job.id(), node, job.attempt()});
  if (known != announced_losses_.end() && known->second <= now) return known->second;
  for (const v1::Task& task : job.tasks()) {
    if (task.node() != node || !IsActive(task.state())) continue;
    const std::optional<int> rank = job.spec().gang() ? std::nullopt : std::optional(task.rank());
    RETURN_IF_ERROR(options_->folders->Create(job.artifact_dir()));
    RETURN_IF_ERROR(options_->folders->Announce(job.artifact_dir(), rank, task.attempt() + 1));
  }
  announced_losses_[{job.id(), node, job.attempt()}] = now;
  return now;
}

// A successor is announced on shared storage before it exists. First attempts succeed nobody.
absl::Status ScheduleLoop::AnnounceAttempts(const v1::Job& job, const JobPlacement& placement) {
  if (job.spec().gang()) {
    if (job.attempt() == 0) return absl::OkStatus();
    return options_->folders->Announce(job.artifact_dir(), std::nullopt, job.attempt() + 1);
  }
  for (const TaskPlacement& placed : placement.tasks) {
    for (const v1::Task& task : job.tasks()) {
      if (task.rank() != placed.rank || task.attempt() == 0) continue;
      RETURN_IF_ERROR(
          options_->folders->Announce(job.artifact_dir(), task.rank(), task.attempt() + 1));
    }
  }
  return absl::OkStatus();
}

absl::Status ScheduleLoop::CommitPlacement(const JobPlacement& placement,
                                           const std::vector<JobRecord>& jobs,
                                           const std::vector<Record<v1::Node>>& nodes) {
  const auto job = std::find_if(jobs.begin(), jobs.end(), [&](const JobRecord& j) {
    return j.value->id() == placement.job_id;
  });
  if (job == jobs.end()) return absl::AbortedError("the job is gone");
  std::vector<Record<v1::Node>> used;
  for (const TaskPlacement& task : placement.tasks) {
    const Record<v1::Node>* node = FindNode(nodes, task.node);
    if (node == nullptr) return absl::AbortedError("the node is gone");
    const bool known = std::any_of(used.begin(), used.end(),
                                   [&](const auto& u) { return u.value == node->value; });
    if (!known) used.push_back(*node);
  }
  RETURN_IF_ERROR(options_->folders->Create(job->value->artifact_dir()));
  RETURN_IF_ERROR(AnnounceAttempts(*job->value, placement));
  return state_->CommitPlacements({{*job, placement, used}});
}

// Endpoints are changed in one transaction each; what follows from it for their jobs is reconciled
// here, so that a crash in between leaves nothing behind.
absl::Status ScheduleLoop::ReconcileEndpoints(absl::Time now) {
  for (const JobRecord& record : state_->FindJobs(state_->job_index().Serving())) {
    const v1::Job& job = *record.value;
    const auto label = job.spec().labels().find(kEndpointLabel);
    if (IsFinished(job.state()) || label == job.spec().labels().end() ||
        job.spec().kind() != "serve")
      continue;
    const Record<v1::Endpoint> endpoint = state_->endpoints().Find(label->second);
    const bool current = endpoint.value != nullptr && endpoint.value->job_id() == job.id();
    if (current && endpoint.value->state() != v1::DELETING) continue;
    RETURN_IF_ERROR(state_
                        ->UpdateJob(job.id(),
                                    [&](v1::Job& copy, EventDrafts& events) {
                                      return ApplyCancel(copy,
                                                         current ? "its endpoint is being deleted"
                                                                 : "replaced by a newer deployment",
                                                         now, events);
                                    })
                        .status());
  }
  for (const Record<v1::Endpoint>& endpoint : state_->endpoints().All()) {
    if (endpoint.value->state() != v1::DELETING) continue;
    const JobRecord job = state_->jobs().Find(endpoint.value->job_id());
    if (job.value != nullptr && !IsFinished(job.value->state())) continue;
    const absl::Status deleted = state_->DeleteEndpoint(endpoint.value->spec().name());
    if (!deleted.ok() && !absl::IsAborted(deleted)) return deleted;
  }
  return absl::OkStatus();
}

}  // namespace oneai::fabric
