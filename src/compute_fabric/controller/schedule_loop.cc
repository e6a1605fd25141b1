#include "compute_fabric/controller/schedule_loop.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/log/log.h"
#include "base/status.h"
#include "compute_fabric/controller/cluster_view.h"
#include "compute_fabric/controller/job_gates.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"
#include "compute_fabric/jobs/placed_attempt.h"

namespace oneai::fabric {
namespace {

// Placements that share a commit: etcd takes 128 operations, and a placement is a job, an event and
// the event that it displaces.
constexpr size_t kPlacementsPerCommit = 32;
// How long the loop rests after a step: as long as the step took, within these.
constexpr absl::Duration kRestMin = absl::Milliseconds(1);
constexpr absl::Duration kRestMax = absl::Milliseconds(20);
constexpr int64_t kLastOutputBytes = 2048;
constexpr int kLastOutputLines = 12;
// How long after a failure its output may still be on the way from the node.
constexpr absl::Duration kLastOutputWait = absl::Seconds(3);

// From the announcement that an attempt is given up until a cut-off node has read it: its agent
// looks once a second, and when that is dead its shims do after 5 s (shim/supervisor.cc).
constexpr absl::Duration kNoticeLossMax = absl::Seconds(8);

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

v1::StopCause StopCauseOf(EvictionCause cause) {
  switch (cause) {
    case EvictionCause::kPriority:
    case EvictionCause::kReclaim:
      return v1::STOP_PREEMPTED;
    case EvictionCause::kMaintenance:
    case EvictionCause::kDrain:
      return v1::STOP_DRAIN;
  }
  return v1::STOP_PREEMPTED;
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
    const absl::Time begin = absl::Now();
    const absl::Status status = Step();
    const absl::Duration took = std::min(absl::Now() - begin, kRestMax);
    if (!status.ok() && !failing)
      Log::Error("scheduling round failed; retrying", {{"error", status}});
    failing = !status.ok();
    state_->WaitForChange(failing ? state_->version() : seen,
                          failing ? absl::Seconds(1) : options_->tick);
    // Under a storm of changes half the time is left to those who make them, and a pass decides
    // about more of them at once.
    if (took > kRestMin) absl::SleepFor(took);
  }
}

absl::Status ScheduleLoop::Step() {
  const absl::Time now = state_->Now();
  NoticePause(now);
  RETURN_IF_ERROR(state_->ResolveDoubts());
  RETURN_IF_ERROR(JudgeNodes(now));
  RETURN_IF_ERROR(sessions_->Upkeep(now));
  RETURN_IF_ERROR(AdvanceJobs(now));
  RETURN_IF_ERROR(ReconcileEndpoints(now));
  if (endpoint_step_) RETURN_IF_ERROR(endpoint_step_(now));
  RETURN_IF_ERROR(PlaceJobs(now));
  return retention_.Step(now);
}

// A controller that was suspended, or whose clock jumped ahead, heard nobody in that time: it must
// not blame the nodes. After a jump back leases would last longer by as much.
void ScheduleLoop::NoticePause(absl::Time now) {
  const absl::Duration gap = now - last_step_;
  const bool jumped = gap > options_->lease / 2 || gap < absl::ZeroDuration();
  if (last_step_ != absl::InfinitePast() && jumped) {
    sessions_->ExtendLeases(gap);
    // Their timers are times of the clock as it was.
    for (std::string& id : state_->job_index().Unfinished()) to_advance_.insert(std::move(id));
  }
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
    if (now >= lease_end + options_->node_fence) RETURN_IF_ERROR(LoseTasks(name, now));
  }
  return absl::OkStatus();
}

absl::Status ScheduleLoop::LoseTasks(const std::string& node, absl::Time now) {
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
  for (const std::string& id : state_->job_index().TakeChanged(JobIndex::Reader::kLoop))
    to_advance_.insert(id);
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
  // Of jobs that have only been submitted there may be very many: they are not even copied.
  const bool fresh = record.value->state() == v1::PENDING && record.value->tasks_size() == 0 &&
                     !record.value->cancel_requested();
  if (fresh && never.empty()) return absl::OkStatus();
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
  if (!schedule_->PassIsDue(now)) return absl::OkStatus();
  queues_revision_ = state_->queues_revision();
  const PlanResult plan = schedule_->Plan(now);
  absl::Status status = CommitPlacements(plan.placements, now);
  if (status.ok()) status = CommitEvictions(plan, now);
  if (status.ok()) return status;
  // What was decided and not carried out must not stay in the scheduler's mind.
  for (const JobPlacement& placement : plan.placements) schedule_->Reconsider(placement.job_id);
  for (const Eviction& eviction : plan.evictions) schedule_->Reconsider(eviction.job_id);
  for (const Resize& resize : plan.resizes) schedule_->Reconsider(resize.job_id);
  return status;
}

absl::Status ScheduleLoop::CommitPlacements(const std::vector<JobPlacement>& placements,
                                            absl::Time now) {
  std::vector<std::vector<PlacementCommit>> groups;
  for (const JobPlacement& placement : placements) {
    absl::StatusOr<PlacementCommit> prepared = PreparePlacement(placement);
    if (prepared.ok()) {
      if (groups.empty() || groups.back().size() == kPlacementsPerCommit) groups.emplace_back();
      groups.back().push_back(*std::move(prepared));
    } else {
      schedule_->Reconsider(placement.job_id);
      // Somebody was faster: the next pass sees it. Anything else (a full disk) concerns this job
      // only and must not hold up the others.
      if (!absl::IsAborted(prepared.status())) {
        RETURN_IF_ERROR(SetReason(placement.job_id, std::string(prepared.status().message()), now));
      }
    }
  }
  const std::vector<absl::Status> outcomes = CommitAtOnce(groups);
  for (size_t i = 0; i < groups.size(); ++i) {
    if (!outcomes[i].ok()) RETURN_IF_ERROR(CommitApart(groups[i], outcomes[i], now));
  }
  return absl::OkStatus();
}

// The groups of one plan touch different jobs and only look at nodes, so that they may become
// durable in any order; the store writes those that come together in one go.
std::vector<absl::Status> ScheduleLoop::CommitAtOnce(
    const std::vector<std::vector<PlacementCommit>>& groups) {
  std::vector<absl::Status> outcomes(groups.size());
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < groups.size(); i = next++)
      outcomes[i] = state_->CommitPlacements(groups[i], queues_revision_);
  };
  std::vector<std::thread> others;
  const size_t num_threads =
      std::min(groups.size(), static_cast<size_t>(options_->commits_at_once));
  while (others.size() + 1 < num_threads) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  return outcomes;
}

absl::Status ScheduleLoop::CommitApart(const std::vector<PlacementCommit>& group,
                                       const absl::Status& together, absl::Time now) {
  // Another controller has taken over, or the store cannot be reached: the others fare no better.
  if (absl::IsFailedPrecondition(together) || absl::IsUnavailable(together)) return together;
  if (group.size() > 1) {
    const auto middle = group.begin() + static_cast<ptrdiff_t>(group.size() / 2);
    for (const auto& half : {std::vector<PlacementCommit>(group.begin(), middle),
                             std::vector<PlacementCommit>(middle, group.end())}) {
      const absl::Status outcome = state_->CommitPlacements(half, queues_revision_);
      if (!outcome.ok()) RETURN_IF_ERROR(CommitApart(half, outcome, now));
    }
    return absl::OkStatus();
  }
  const std::string& id = group[0].job.value->id();
  schedule_->Reconsider(id);
  if (absl::IsAborted(together)) return absl::OkStatus();
  return SetReason(id, std::string(together.message()), now);
}

absl::StatusOr<PlacementCommit> ScheduleLoop::PreparePlacement(const JobPlacement& placement) {
  PlacementCommit commit{.job = state_->jobs().Find(placement.job_id), .placement = placement};
  if (commit.job.value == nullptr) return absl::AbortedError("the job is gone");
  const std::vector<int> wait = RanksToPlace(*commit.job.value, state_->Now());
  std::set<std::string> names;
  for (const TaskPlacement& task : placement.tasks) {
    if (!std::binary_search(wait.begin(), wait.end(), task.rank))
      return absl::AbortedError("the job waits no more");
    if (!names.insert(task.node).second) continue;
    commit.nodes.push_back(state_->nodes().Find(task.node));
    const v1::Node* node = commit.nodes.back().value.get();
    if (node == nullptr || !UnschedulableReason(*node).empty())
      return absl::AbortedError("the node is out of service");
  }
  RETURN_IF_ERROR(options_->folders->Create(commit.job.value->artifact_dir()));
  RETURN_IF_ERROR(AnnounceAttempts(*commit.job.value, placement));
  return commit;
}

absl::Status ScheduleLoop::CommitEvictions(const PlanResult& plan, absl::Time now) {
  for (const Eviction& eviction : plan.evictions) {
    const absl::StatusOr<JobRecord> evicted =
        state_->UpdateJob(eviction.job_id, [&](v1::Job& job, EventDrafts& events) {
          return ApplyPreempt(job, StopCauseOf(eviction.cause), eviction.reason, now, events);
        });
    schedule_->Reconsider(eviction.job_id);
    if (!evicted.ok() && !absl::IsNotFound(evicted.status())) return evicted.status();
  }
  for (const Resize& resize : plan.resizes) {
    const absl::StatusOr<JobRecord> resized =
        state_->UpdateJob(resize.job_id, [&](v1::Job& job, EventDrafts& events) {
          return ApplyResize(job, resize.tasks, resize.reason, events);
        });
    if (!resized.ok() && !absl::IsNotFound(resized.status())) return resized.status();
  }
  return absl::OkStatus();
}

// Why a job is not where the plan would have it, when that has changed. Why it waits otherwise is
// computed when somebody asks.
absl::Status ScheduleLoop::SetReason(const std::string& job_id, const std::string& reason,
                                     absl::Time now) {
  const absl::StatusOr<JobRecord> set = state_->UpdateJob(job_id, [&](v1::Job& job, EventDrafts&) {
    if (RanksToPlace(job, now).empty()) return false;
    if (job.reasons_size() == 1 && job.reasons(0) == reason) return false;
    job.clear_reasons();
    job.add_reasons(reason);
    return true;
  });
  return absl::IsNotFound(set.status()) ? absl::OkStatus() : set.status();
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
