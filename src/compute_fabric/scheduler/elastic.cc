#include "compute_fabric/scheduler/elastic.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/calendar/calendar.h"

namespace oneai::fabric {
namespace {

// Waiting jobs that gangs are asked to shrink for, and gangs that are grown, a pass: each costs a
// trial placement or more.
constexpr int kWaitingMax = 16;
constexpr int kGrownMax = 16;

int NumPlaced(const JobView& job) { return static_cast<int>(job.placed.size()); }

// The kinds of device that the job asks for; the empty name stands for none.
std::set<std::string> KindsOf(const JobView& job) {
  std::set<std::string> kinds;
  for (const DeviceAlternative& device : job.shape.devices) kinds.insert(device.kind);
  if (kinds.empty()) kinds.insert("");
  return kinds;
}

// The kinds that it holds.
std::set<std::string> KindsHeld(const JobView& job) {
  std::set<std::string> kinds;
  for (const TaskPlacement& task : job.placed) kinds.insert(task.device ? task.device->kind : "");
  return kinds;
}

bool Meet(const std::set<std::string>& a, const std::set<std::string>& b) {
  return std::any_of(a.begin(), a.end(),
                     [&](const std::string& kind) { return b.count(kind) > 0; });
}

class Resizing {
 public:
  Resizing(SchedulerState& state, const Policy& policy, const std::vector<const JobView*>& waiting,
           absl::Time now)
      : state_(state), policy_(policy), waiting_(waiting), now_(now) {}

  std::vector<Resize> Run() {
    if (!state_.candidates.IsBoundTo(policy_)) state_.candidates.Follow(state_.jobs, policy_);
    state_.jobs.VisitElastic([&](const JobView& job) {
      if (!job.stopping && job.ranks.empty() && now_ - job.started >= policy_.resize_interval) {
        gangs_.push_back({&job, NumPlaced(job)});
      }
    });
    if (gangs_.empty()) return {};
    const ClusterState::Mark mark = state_.cluster.mark();
    Shrink();
    Grow();
    state_.cluster.RollbackTo(mark);
    for (const auto& [queue, amounts] : charged_) state_.queues.Charge(queue, amounts, -1);
    return std::move(resizes_);
  }

 private:
  // A gang that runs, with the number of ranks that it will have.
  struct Gang {
    const JobView* job;
    int tasks;
  };

  void Charge(const std::string& queue, const Amounts& amounts, int64_t times) {
    state_.queues.Charge(queue, amounts, times);
    Add(charged_[queue], amounts, times);
  }

  NodeGate OffHolds() const {
    return [now = now_](const NodeState& node, const JobView& job) {
      return MayUse(node.spec, job, now, nullptr);
    };
  }

  std::vector<TaskPlacement> Place(const JobView& job, int least, int most) {
    const PlaceRequest request{
        .job = &job, .tasks_min = least, .tasks_max = most, .may_use = OffHolds()};
    std::vector<TaskPlacement> tasks = PlaceJob(state_, policy_, request, now_);
    if (!tasks.empty()) Add(charged_[job.queue], AmountsOfTasks(job.shape, tasks));
    return tasks;
  }

  void Shrink() {
    int left = kWaitingMax;
    for (const JobView* job : waiting_) {
      if (left-- == 0) return;
      ShrinkFor(*job);
    }
  }

  // Whether the gang gives way to the job: the job is as important and of the same queue, or its
  // queue goes before the gang's.
  bool GivesWay(const JobView& gang, const JobView& job) const {
    if (gang.id == job.id || !Meet(KindsOf(job), KindsHeld(gang))) return false;
    if (gang.queue == job.queue) return job.priority >= gang.priority;
    return state_.queues.GoesBefore(job.queue, gang.queue);
  }

  // Takes ranks from the gangs, the one with most to give first, rank by rank from the highest,
  // until the job fits; then gives back those that were taken in vain.
  void ShrinkFor(const JobView& job) {
    std::vector<Gang*> givers;
    for (Gang& gang : gangs_) {
      if (gang.tasks > gang.job->tasks_min && GivesWay(*gang.job, job)) givers.push_back(&gang);
    }
    if (givers.empty()) return;
    std::stable_sort(givers.begin(), givers.end(), [](const Gang* a, const Gang* b) {
      if (a->job->priority != b->job->priority) return a->job->priority < b->job->priority;
      const int a_surplus = a->tasks - a->job->tasks_min;
      const int b_surplus = b->tasks - b->job->tasks_min;
      return a_surplus != b_surplus ? a_surplus > b_surplus : a->job->id < b->job->id;
    });
    std::map<Gang*, int> taken;
    const ClusterState::Mark mark = state_.cluster.mark();
    const std::map<std::string, Amounts> charged = charged_;
    const bool fits = TakeUntilFits(job, givers, taken);
    if (fits) GiveBackVain(job, mark, charged, taken);
    GoBack(mark, charged);
    if (!fits) return;
    // Once more for good: the job in its place, the gangs smaller.
    Apply(taken);
    Place(job, job.gang ? job.tasks_min : 1, static_cast<int>(job.ranks.size()));
    for (auto& [gang, num] : taken) {
      if (num == 0) continue;
      gang->tasks -= num;
      Note(*gang, absl::StrCat("shrinks to let ", job.id, " start"));
    }
  }

  void GoBack(ClusterState::Mark mark, const std::map<std::string, Amounts>& charged) {
    state_.cluster.RollbackTo(mark);
    for (const auto& [queue, amounts] : charged_) {
      Amounts more = amounts;
      const auto before = charged.find(queue);
      if (before != charged.end()) Add(more, before->second, -1);
      state_.queues.Charge(queue, more, -1);
    }
    charged_ = charged;
  }

  // Takes back the `num`-th highest rank that the gang still has (0: the highest).
  void TakeRank(const Gang& gang, int num) {
    const TaskPlacement& task = gang.job->placed[gang.tasks - 1 - num];
    state_.cluster.Release(gang.job->shape, task);
    Charge(gang.job->queue, AmountsOfTasks(gang.job->shape, {task}), -1);
  }

  void Apply(const std::map<Gang*, int>& taken) {
    for (const auto& [gang, num] : taken) {
      for (int i = 0; i < num; ++i) TakeRank(*gang, i);
    }
  }

  bool FitsNow(const JobView& job) {
    const ClusterState::Mark mark = state_.cluster.mark();
    const std::map<std::string, Amounts> charged = charged_;
    const bool fits =
        !Place(job, job.gang ? job.tasks_min : 1, static_cast<int>(job.ranks.size())).empty();
    GoBack(mark, charged);
    return fits;
  }

  bool TakeUntilFits(const JobView& job, const std::vector<Gang*>& givers,
                     std::map<Gang*, int>& taken) {
    // It may fit already, in what was freed for another.
    if (FitsNow(job)) return false;
    for (Gang* gang : givers) {
      while (gang->tasks - taken[gang] > gang->job->tasks_min) {
        TakeRank(*gang, taken[gang]++);
        if (FitsNow(job)) return true;
      }
    }
    return false;
  }

  void GiveBackVain(const JobView& job, ClusterState::Mark mark,
                    const std::map<std::string, Amounts>& charged, std::map<Gang*, int>& taken) {
    for (auto& [gang, num] : taken) {
      while (num > 0) {
        GoBack(mark, charged);
        --num;
        Apply(taken);
        if (FitsNow(job)) continue;
        ++num;
        break;
      }
    }
  }

  // Whether anybody waits for a kind of device that the gang could grow into.
  bool IsWantedByOthers(const JobView& gang) const {
    const std::set<std::string> held = KindsHeld(gang);
    return std::any_of(waiting_.begin(), waiting_.end(),
                       [&](const JobView* job) { return Meet(KindsOf(*job), held); });
  }

  // The one that gains most for its size first, since a rank is worth most to a small gang.
  void Grow() {
    std::vector<Gang*> takers;
    for (Gang& gang : gangs_) {
      if (gang.tasks == NumPlaced(*gang.job) && gang.tasks < gang.job->tasks &&
          !IsWantedByOthers(*gang.job)) {
        takers.push_back(&gang);
      }
    }
    std::stable_sort(takers.begin(), takers.end(), [](const Gang* a, const Gang* b) {
      const double a_gain = static_cast<double>(a->job->tasks) / a->tasks;
      const double b_gain = static_cast<double>(b->job->tasks) / b->tasks;
      return a_gain != b_gain ? a_gain > b_gain : a->job->id < b->job->id;
    });
    int left = kGrownMax;
    for (Gang* gang : takers) {
      if (left == 0) return;
      if (GrowOne(*gang)) --left;
    }
  }

  // More ranks of the kind it has, in its domain: what it holds stays where it is.
  bool GrowOne(Gang& gang) {
    JobView more = *gang.job;
    more.gang = false;
    more.ranks.clear();
    for (int rank = gang.tasks; rank < more.tasks; ++rank) more.ranks.push_back(rank);
    const std::set<std::string> held = KindsHeld(more);
    more.shape.devices.erase(std::remove_if(more.shape.devices.begin(), more.shape.devices.end(),
                                            [&](const DeviceAlternative& device) {
                                              return held.count(device.kind) == 0;
                                            }),
                             more.shape.devices.end());
    const int num = static_cast<int>(Place(more, 1, static_cast<int>(more.ranks.size())).size());
    if (num == 0) return false;
    gang.tasks += num;
    Note(gang, absl::StrCat("grows into ", num, num == 1 ? " idle place" : " idle places"));
    return true;
  }

  void Note(const Gang& gang, std::string reason) {
    const auto known = std::find_if(resizes_.begin(), resizes_.end(), [&](const Resize& resize) {
      return resize.job_id == gang.job->id;
    });
    if (known == resizes_.end()) {
      resizes_.push_back({gang.job->id, gang.tasks, std::move(reason)});
    } else {
      known->tasks = gang.tasks;
      absl::StrAppend(&known->reason, "; ", reason);
    }
  }

  SchedulerState& state_;
  const Policy& policy_;
  const std::vector<const JobView*>& waiting_;
  absl::Time now_;
  std::vector<Gang> gangs_;                 // by id; pointers into it stay valid
  std::map<std::string, Amounts> charged_;  // by queue, since the beginning
  std::vector<Resize> resizes_;
};

}  // namespace

std::vector<Resize> PlanResizes(SchedulerState& state, const Policy& policy,
                                const std::vector<const JobView*>& waiting, absl::Time now) {
  return Resizing(state, policy, waiting, now).Run();
}

}  // namespace oneai::fabric
