#include "compute_fabric/scheduler/place_job.h"

#include <algorithm>
#include <utility>

#include "absl/types/span.h"
#include "compute_fabric/scheduler/choose_nodes.h"
#include "compute_fabric/scheduler/gang_commit.h"
#include "compute_fabric/scheduler/topology.h"

namespace oneai::fabric {
namespace {

// One job being placed.
class Placement {
 public:
  Placement(SchedulerState& state, const Policy& policy, const PlaceRequest& request)
      : state_(state), policy_(policy), request_(request), job_(*request.job) {
    held_.Add(state.cluster, job_.placed);
  }

  PlaceOutcome Run();

 private:
  using Alternatives = std::vector<const DeviceAlternative*>;

  Alternatives AlternativesInOrder() const;
  int NumAdmitted(const DeviceAlternative* device, int most) const;
  std::vector<NodeChoice> Choose(const DeviceAlternative* device, int least, int most);
  void Commit(const DeviceAlternative* device, std::vector<NodeChoice> choices);
  bool PlaceWithOneKind(const Alternatives& alternatives);
  void PlaceWithAnyKind(const Alternatives& alternatives);
  int NumLeft() const { return most_ - static_cast<int>(tasks_.size()); }

  SchedulerState& state_;
  const Policy& policy_;
  const PlaceRequest& request_;
  const JobView& job_;
  int least_ = 1;
  int most_ = 0;
  HeldTasks held_;
  std::vector<TaskPlacement> tasks_;
  bool quota_refused_ = false;  // to some alternative
  bool gate_refused_ = false;   // a node with room
};

Placement::Alternatives Placement::AlternativesInOrder() const {
  if (job_.shape.devices.empty()) return {nullptr};
  if (job_.shape.devices.size() == 1) return {&job_.shape.devices[0]};
  return RankAlternatives(state_.kind_prices, policy_, job_);
}

// How many more tasks, at most `most`, the quota admits on top of those placed so far.
int Placement::NumAdmitted(const DeviceAlternative* device, int most) const {
  const Amounts each = AmountsOf(job_.shape, device);
  const auto admits = [&](int num_tasks) {
    Amounts amounts = AmountsOfTasks(job_.shape, tasks_);
    Add(amounts, each, num_tasks);
    return state_.queues.Admit(job_.queue, amounts).admitted;
  };
  if (admits(most)) return most;
  int low = 0;  // admitted
  int high = most;
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    (admits(middle) ? low : high) = middle;
  }
  return low;
}

std::vector<NodeChoice> Placement::Choose(const DeviceAlternative* device, int least, int most) {
  const ShapeCandidates& candidates = state_.candidates.Of(state_.cluster, job_.shape, device);
  const auto may_use = [&](NodeIndex node) {
    if (!request_.may_use || request_.may_use(state_.cluster.node(node), job_)) return true;
    gate_refused_ = true;
    return false;
  };
  const ChoiceRequest choice{.cluster = &state_.cluster,
                             .spread = job_.spread,
                             .held = &held_,
                             .may_use = may_use,
                             .num_tasks = most,
                             .num_fit_max = candidates.num_fit_max()};
  const auto source = [&](VisitCandidate visit) { candidates.VisitBestFirst(visit); };
  if (!job_.topology) return ChooseNodes(choice, source);
  TopologyRequest topology{.choice = choice,
                           .num_tasks_min = least,
                           .shape = &job_.shape,
                           .device = device,
                           .wish = *job_.topology};
  topology.held = DomainsOf(state_.cluster, job_.topology->level, job_.placed);
  for (const int32_t id : DomainsOf(state_.cluster, job_.topology->level, tasks_)) {
    topology.held.push_back(id);
  }
  std::sort(topology.held.begin(), topology.held.end());
  return ChooseInDomains(topology, candidates);
}

void Placement::Commit(const DeviceAlternative* device, std::vector<NodeChoice> choices) {
  const absl::Span<const int> ranks =
      absl::MakeConstSpan(job_.ranks).subspan(tasks_.size(), static_cast<size_t>(NumLeft()));
  std::vector<TaskPlacement> placed =
      CommitChoices(state_, job_, device, std::move(choices), ranks);
  held_.Add(state_.cluster, placed);
  for (TaskPlacement& task : placed) tasks_.push_back(std::move(task));
}

// The first alternative that has room for all; else the one with the most work done in a second.
bool Placement::PlaceWithOneKind(const Alternatives& alternatives) {
  const DeviceAlternative* best = nullptr;
  std::vector<NodeChoice> best_choices;
  double best_value = 0;
  for (const DeviceAlternative* device : alternatives) {
    const int admitted = NumAdmitted(device, most_);
    quota_refused_ = quota_refused_ || admitted < least_;
    if (admitted < least_) continue;
    std::vector<NodeChoice> choices = Choose(device, least_, admitted);
    const int64_t num_tasks = NumTasks(choices);
    if (num_tasks < least_) continue;
    const bool all = num_tasks == most_;
    const double value =
        static_cast<double>(num_tasks) * (device == nullptr ? 1.0 : device->relative_throughput);
    if (!all && value <= best_value) continue;
    best = device;
    best_value = value;
    best_choices = std::move(choices);
    if (all) break;
  }
  if (best_choices.empty()) return false;
  Commit(best, std::move(best_choices));
  return static_cast<int>(tasks_.size()) >= least_;
}

// Rank by rank, the best alternatives first.
void Placement::PlaceWithAnyKind(const Alternatives& alternatives) {
  for (const DeviceAlternative* device : alternatives) {
    if (NumLeft() == 0) return;
    const int admitted = NumAdmitted(device, NumLeft());
    quota_refused_ = quota_refused_ || admitted == 0;
    if (admitted == 0) continue;
    Commit(device, Choose(device, 1, admitted));
  }
}

PlaceOutcome Placement::Run() {
  using Blocker = PlaceOutcome::Blocker;
  const int num_ranks = static_cast<int>(job_.ranks.size());
  least_ = std::max(1, request_.tasks_min);
  most_ = std::min(request_.tasks_max, num_ranks);
  if (most_ < least_) return {{}, Blocker::kNoRoom};
  const Alternatives alternatives = AlternativesInOrder();
  const ClusterState::Mark mark = state_.cluster.mark();
  if (job_.gang) {
    if (!PlaceWithOneKind(alternatives) && alternatives.size() > 1) {
      state_.cluster.RollbackTo(mark);
      tasks_.clear();
      held_ = HeldTasks();
      held_.Add(state_.cluster, job_.placed);
      PlaceWithAnyKind(alternatives);
    }
  } else {
    PlaceWithAnyKind(alternatives);
  }
  if (static_cast<int>(tasks_.size()) < least_) {
    state_.cluster.RollbackTo(mark);
    if (quota_refused_) return {{}, Blocker::kQuota};
    return {{}, gate_refused_ ? Blocker::kGate : Blocker::kNoRoom};
  }
  state_.queues.Charge(job_.queue, AmountsOfTasks(job_.shape, tasks_));
  return {std::move(tasks_), Blocker::kNone};
}

}  // namespace

PlaceOutcome TryPlaceJob(SchedulerState& state, const Policy& policy, const PlaceRequest& request,
                         absl::Time /*now*/) {
  if (!state.candidates.IsBoundTo(policy)) state.candidates.Follow(state.jobs, policy);
  return Placement(state, policy, request).Run();
}

std::vector<TaskPlacement> PlaceJob(SchedulerState& state, const Policy& policy,
                                    const PlaceRequest& request, absl::Time now) {
  return TryPlaceJob(state, policy, request, now).tasks;
}

void TakeBack(SchedulerState& state, const JobView& job, const std::vector<TaskPlacement>& tasks,
              ClusterState::Mark mark) {
  state.cluster.RollbackTo(mark);
  state.queues.Charge(job.queue, AmountsOfTasks(job.shape, tasks), -1);
}

}  // namespace oneai::fabric
