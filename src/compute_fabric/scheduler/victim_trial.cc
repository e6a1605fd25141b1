#include "compute_fabric/scheduler/victim_trial.h"

#include <algorithm>

namespace oneai::fabric {
namespace {

// Each test places the job anew: bounded, since what is dropped by the search's own count is
// already gone from the list.
constexpr int kDropTestsMax = 32;

class Trial {
 public:
  explicit Trial(const TrialRequest& request)
      : request_(request), state_(*request.state), table_(*request.table) {}

  TrialOutcome Run(std::vector<int32_t> victims) {
    std::stable_sort(victims.begin(), victims.end(), [&](int32_t a, int32_t b) {
      return table_.victims[a].cost < table_.victims[b].cost;
    });
    const ClusterState::Mark mark = state_.cluster.mark();
    TrialOutcome outcome;
    for (const int32_t victim : victims) {
      if (!MayStop(victim)) {
        outcome.refused = victim;
        break;
      }
      Stop(victim);
      stopped_.push_back(victim);
    }
    if (outcome.refused < 0 && Fits()) {
      DropUnnecessary();
      outcome.tasks = PlaceAsMuchAsFits();
      outcome.placed = !outcome.tasks.empty();
    }
    outcome.victims = stopped_;
    for (const int32_t victim : stopped_) {
      outcome.cost += table_.victims[victim].cost;
      const JobView& job = *table_.victims[victim].job;
      state_.queues.Charge(job.queue, HeldBy(table_, victim));
    }
    state_.cluster.RollbackTo(mark);
    return outcome;
  }

 private:
  bool MayStop(int32_t victim) const {
    const JobView& owner = *table_.victims[victim].job;
    const JobView& taker = *request_.job;
    if (owner.queue == taker.queue) return owner.priority < taker.priority;
    return state_.queues.MayReclaim(taker.queue, request_.needs, owner.queue,
                                    HeldBy(table_, victim));
  }

  void Stop(int32_t victim) {
    const JobView& job = *table_.victims[victim].job;
    for (const TaskPlacement& task : job.placed) state_.cluster.Release(job.shape, task);
    state_.queues.Charge(job.queue, HeldBy(table_, victim), -1);
  }

  void RunOn(int32_t victim) {
    const JobView& job = *table_.victims[victim].job;
    for (const TaskPlacement& task : job.placed) state_.cluster.TakeExactly(job.shape, task);
    state_.queues.Charge(job.queue, HeldBy(table_, victim));
  }

  std::vector<TaskPlacement> Place(int tasks_max) {
    const PlaceRequest place{.job = request_.job,
                             .tasks_min = request_.num_tasks,
                             .tasks_max = tasks_max,
                             .may_use = *request_.may_use};
    return PlaceJob(state_, *request_.policy, place, request_.now);
  }

  bool Fits() {
    const ClusterState::Mark mark = state_.cluster.mark();
    const std::vector<TaskPlacement> tasks = Place(request_.num_tasks);
    if (tasks.empty()) return false;
    TakeBack(state_, *request_.job, tasks, mark);
    return true;
  }

  std::vector<TaskPlacement> PlaceAsMuchAsFits() {
    const ClusterState::Mark mark = state_.cluster.mark();
    std::vector<TaskPlacement> tasks = Place(static_cast<int>(request_.job->ranks.size()));
    if (!tasks.empty()) TakeBack(state_, *request_.job, tasks, mark);
    return tasks;
  }

  void DropUnnecessary() {
    std::vector<int32_t> dearest_first(stopped_.rbegin(), stopped_.rend());
    int tests = 0;
    for (const int32_t victim : dearest_first) {
      if (++tests > kDropTestsMax) break;
      RunOn(victim);
      if (Fits()) {
        stopped_.erase(std::find(stopped_.begin(), stopped_.end(), victim));
      } else {
        Stop(victim);
      }
    }
  }

  const TrialRequest& request_;
  SchedulerState& state_;
  const VictimTable& table_;
  std::vector<int32_t> stopped_;  // cheapest first
};

}  // namespace

TrialOutcome TryVictims(const TrialRequest& request, std::vector<int32_t> victims) {
  return Trial(request).Run(std::move(victims));
}

Amounts HeldBy(const VictimTable& table, int32_t victim) {
  const JobView& job = *table.victims[victim].job;
  return AmountsOfTasks(job.shape, job.placed);
}

}  // namespace oneai::fabric
