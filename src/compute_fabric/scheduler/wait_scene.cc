#include "compute_fabric/scheduler/wait_scene.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/calendar/calendar.h"
#include "compute_fabric/scheduler/order_queues.h"

namespace oneai::fabric {

WaitScene::WaitScene(SchedulerState& state, const Policy& policy, const JobView& job,
                     absl::Time now)
    : state_(state), policy_(policy), now_(now), promises_(&state), window_(&state, &policy, now) {
  state_.candidates.Follow(state_.jobs, policy_);
  if (policy.head_of_line == HeadOfLine::kBackfill) PlanThoseBefore(job);
}

// As a pass would: the first of each class, in the order in which they are served, as long as
// planned starts are given out.
void WaitScene::PlanThoseBefore(const JobView& job) {
  QueueOrder order(&state_, &policy_);
  while (window_.num_reserved() < policy_.reservations_max) {
    const JobView* next = order.Next();
    if (next == nullptr || next->id == job.id) return;
    if (promises_.Has(next->id)) {
      order.Failed(QueueOrder::Failure::kThisJobOnly);
      continue;
    }
    const ClusterState::Mark mark = state_.cluster.mark();
    const PlaceOutcome outcome = Try(*next);
    state_.cluster.RollbackTo(mark);
    if (outcome.blocker == PlaceOutcome::Blocker::kQuota) {
      order.Failed(QueueOrder::Failure::kQuota);
      continue;
    }
    PlannedStart planned = window_.Reserve(*next);
    if (!planned.nodes.empty()) before_.push_back(std::move(planned));
    order.Failed(outcome.blocker == PlaceOutcome::Blocker::kNoRoom
                     ? QueueOrder::Failure::kNoRoom
                     : QueueOrder::Failure::kThisJobOnly);
  }
}

bool WaitScene::MayUseNode(const NodeState& node, const JobView& job, Gates gates,
                           std::string* why_not) const {
  if (!node.spec.holds.empty() || !job.reservation.empty()) {
    if (!MayUse(node.spec, job, now_, why_not)) return false;
  }
  if (gates == Gates::kCalendarOnly || window_.Admits(node, job)) return true;
  if (why_not != nullptr) {
    const PlannedStart* kept = window_.KeptFor(node.spec.name);
    *why_not =
        kept == nullptr
            ? "kept for another job"
            : absl::StrCat("kept for ", kept->job_id,
                           kept->start == absl::InfiniteFuture()
                               ? ", which has waited long for its gang"
                               : absl::StrCat(", planned to start ", FormatInstant(kept->start)));
  }
  return false;
}

NodeGate WaitScene::gate(Gates gates) const {
  return [this, gates](const NodeState& node, const JobView& job) {
    return MayUseNode(node, job, gates, nullptr);
  };
}

PlaceOutcome WaitScene::Try(const JobView& job, Gates gates) {
  const ClusterState::Mark mark = state_.cluster.mark();
  const PlaceRequest request{.job = &job,
                             .tasks_min = job.gang ? job.tasks_min : 1,
                             .tasks_max = static_cast<int>(job.ranks.size()),
                             .may_use = gate(gates)};
  PlaceOutcome outcome = TryPlaceJob(state_, policy_, request, now_);
  if (!outcome.tasks.empty()) TakeBack(state_, job, outcome.tasks, mark);
  return outcome;
}

std::vector<absl::Time> WaitScene::Deadlines() const {
  std::vector<absl::Time> times;
  for (const PlannedStart& planned : before_) times.push_back(planned.start);
  for (NodeIndex node = 0; node < state_.cluster.num_indexes(); ++node) {
    if (!state_.cluster.IsNode(node)) continue;
    for (const NodeHold& hold : state_.cluster.node(node).spec.holds) times.push_back(hold.start);
  }
  std::sort(times.begin(), times.end());
  times.erase(std::unique(times.begin(), times.end()), times.end());
  times.erase(std::remove_if(
                  times.begin(), times.end(),
                  [&](absl::Time time) { return time <= now_ || time == absl::InfiniteFuture(); }),
              times.end());
  return times;
}

}  // namespace oneai::fabric
