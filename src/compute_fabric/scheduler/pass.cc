#include "compute_fabric/scheduler/pass.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/calendar/calendar.h"

namespace oneai::fabric {
namespace {

// Waiting jobs that elastic gangs are asked to make room for, a pass.
constexpr size_t kWaitingMax = 64;

// The fewest tasks that are of use at once.
int LeastTasks(const JobView& job) { return job.gang ? job.tasks_min : 1; }

// A hold that has begun and is not the job's own.
const NodeHold* FindForeignHold(const NodeSpec& node, const JobView& job, absl::Time now) {
  const auto it = std::find_if(node.holds.begin(), node.holds.end(), [&](const NodeHold& hold) {
    return hold.start <= now && now < hold.end &&
           (hold.reservation.empty() || hold.reservation != job.reservation);
  });
  return it == node.holds.end() ? nullptr : &*it;
}

}  // namespace

Pass::Pass(SchedulerState& state, const Policy& policy, absl::Time now)
    : state_(state),
      policy_(policy),
      now_(now),
      promises_(&state),
      window_(&state, &policy, now),
      victims_(&state, &policy, now) {}

PlanResult Pass::Run() {
  ClearHeldNodes();
  ServePromised();
  ServeOverdue();
  ServeQueues();
  ResizeElastic();
  return std::move(result_);
}

// Jobs on nodes that are kept for something else from now on: a window that was opened after they
// had started, or that they were let in front of because they are preemptible.
void Pass::ClearHeldNodes() {
  for (NodeIndex i = 0; i < state_.cluster.num_indexes(); ++i) {
    const NodeSpec& node = state_.cluster.node(i).spec;
    if (node.holds.empty()) continue;
    for (const JobView* job : state_.jobs.OnNode(node.name)) {
      const NodeHold* hold = FindForeignHold(node, *job, now_);
      if (hold == nullptr || job->stopping) continue;
      // A user's reservation does not break a promise not to preempt; maintenance has to.
      if (!job->preemptible && !hold->reservation.empty()) continue;
      result_.evictions.push_back({job->id, EvictionCause::kMaintenance, "",
                                   absl::StrCat("node ", node.name, " is kept: ", hold->reason)});
      state_.jobs.MarkStopping(job->id);
    }
  }
}

void Pass::ServePromised() {
  promises_.Settle([&](const JobView& job) {
    ++result_.num_considered;
    return Place(job) == PlaceOutcome::Blocker::kNone;
  });
}

void Pass::ServeQueues() {
  QueueOrder order(&state_, &policy_);
  while (const JobView* job = order.Next()) {
    if (promises_.Has(job->id) || overdue_.contains(job->id) || IsRefusedLikeOthers(*job)) {
      order.Failed(QueueOrder::Failure::kThisJobOnly);
      continue;
    }
    const PlaceOutcome::Blocker blocker = Place(*job);
    if (blocker == PlaceOutcome::Blocker::kNone) {
      order.Placed();
      continue;
    }
    const QueueOrder::Failure failure = FailureOf(*job, blocker);
    Wait(*job, blocker);
    order.Failed(failure);
  }
  result_.num_considered += order.num_considered();
}

NodeGate Pass::Gate() const {
  const bool has_reservations = window_.num_reserved() > 0;
  return [this, has_reservations](const NodeState& node, const JobView& job) {
    if (!node.spec.holds.empty() || !job.reservation.empty()) {
      if (!MayUse(node.spec, job, now_, nullptr)) return false;
    }
    return !has_reservations || window_.Admits(node, job);
  };
}

PlaceOutcome::Blocker Pass::Place(const JobView& job) {
  const PlaceRequest request{.job = &job,
                             .tasks_min = LeastTasks(job),
                             .tasks_max = static_cast<int>(job.ranks.size()),
                             .may_use = Gate()};
  const PlaceOutcome outcome = TryPlaceJob(state_, policy_, request, now_);
  if (outcome.blocker == PlaceOutcome::Blocker::kNone) Record(job, outcome.tasks);
  return outcome.blocker;
}

void Pass::Record(const JobView& job, const std::vector<TaskPlacement>& tasks) {
  result_.placements.push_back({job.id, tasks, ReasonOf(tasks)});
  placed_.insert(job.id);
  const JobView* placed = state_.jobs.Place(job.id, tasks, now_);
  window_.Placed(*placed, tasks);
}

std::string Pass::ReasonOf(const std::vector<TaskPlacement>& tasks) const {
  if (window_.num_reserved() == 0) return "";
  for (const TaskPlacement& task : tasks) {
    const PlannedStart* kept = window_.KeptFor(task.node);
    if (kept == nullptr) continue;
    return absl::StrCat("backfilled: leaves room for ", kept->job_id, ", planned to start on ",
                        task.node, " at ", absl::FormatTime(kept->start, absl::UTCTimeZone()));
  }
  return "";
}

QueueOrder::Failure Pass::FailureOf(const JobView& job, PlaceOutcome::Blocker blocker) {
  using Blocker = PlaceOutcome::Blocker;
  // What a job holds already narrows where the rest of it may go: its class-mates may do better.
  if (!job.placed.empty()) return QueueOrder::Failure::kThisJobOnly;
  if (blocker == Blocker::kQuota) return QueueOrder::Failure::kQuota;
  if (blocker == Blocker::kNoRoom) return QueueOrder::Failure::kNoRoom;
  const GateKey key{state_.jobs.ClassOf(job), job.preemptible};
  const auto [it, added] = gate_refused_.try_emplace(key, job.time_limit);
  if (!added) it->second = std::min(it->second, job.time_limit);
  return QueueOrder::Failure::kThisJobOnly;
}

bool Pass::IsRefusedLikeOthers(const JobView& job) const {
  if (gate_refused_.empty() || !job.placed.empty()) return false;
  const auto it = gate_refused_.find({state_.jobs.ClassOf(job), job.preemptible});
  return it != gate_refused_.end() && job.time_limit >= it->second;
}

void Pass::Wait(const JobView& job, PlaceOutcome::Blocker blocker) {
  if (MakeRoom(job)) return;
  if (waiting_.size() < kWaitingMax) waiting_.push_back(&job);
  // More nodes do not help where the quota is used up.
  if (blocker == PlaceOutcome::Blocker::kQuota) return;
  Reserve(job);
}

void Pass::Reserve(const JobView& job) {
  if (policy_.head_of_line != HeadOfLine::kBackfill) return;
  if (window_.num_reserved() >= policy_.reservations_max) return;
  if (++num_searches_ > 2 * policy_.reservations_max) return;
  PlannedStart start = window_.Reserve(job);
  if (start.start != absl::InfiniteFuture()) result_.planned_starts.push_back(std::move(start));
}

}  // namespace oneai::fabric
