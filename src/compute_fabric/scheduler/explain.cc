#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/calendar/calendar.h"
#include "compute_fabric/scheduler/describe.h"
#include "compute_fabric/scheduler/domain_room.h"
#include "compute_fabric/scheduler/node_blockers.h"
#include "compute_fabric/scheduler/plan.h"
#include "compute_fabric/scheduler/preempt.h"
#include "compute_fabric/scheduler/smallest_change.h"
#include "compute_fabric/scheduler/wait_scene.h"

namespace oneai::fabric {
namespace {

int LeastTasks(const JobView& job) { return job.gang ? std::max(1, job.tasks_min) : 1; }

class Explainer {
 public:
  Explainer(SchedulerState& state, const Policy& policy, const JobView& job, absl::Time now)
      : state_(state), job_(job), now_(now), scene_(state, policy, job, now) {}

  WhatIf Run() {
    WhatIf result;
    Explanation& why = result.explanation;
    why.queue_position = QueuePosition();
    why.reasons = job_.gates;
    const PlaceOutcome outcome = scene_.Try(job_);
    result.placement = {job_.id, outcome.tasks, ""};
    if (!outcome.tasks.empty()) {
      // Gates apart, the next pass starts it.
      if (job_.gates.empty()) why.planned_start = now_;
      AddPartial(outcome, why.reasons);
      return result;
    }
    why.reasons.push_back(DescribeNeed(job_));
    AddQuota(why.reasons);
    AddNodes(why.reasons);
    why.smallest_change = FindSmallestChange(scene_, job_);
    AddVictims(why);
    // Last, since it keeps a place for the job itself.
    if (outcome.blocker != PlaceOutcome::Blocker::kQuota && job_.gates.empty()) {
      why.planned_start = scene_.PlanStart(job_).start;
    }
    return result;
  }

 private:
  int QueuePosition() const {
    int position = 0;
    bool found = false;
    state_.jobs.VisitWaiting(job_.queue, [&](const JobView& other) {
      ++position;
      found = other.id == job_.id;
      return !found;
    });
    return found ? position : 0;
  }

  // A job that takes what it can get has only some of it.
  void AddPartial(const PlaceOutcome& outcome, std::vector<std::string>& reasons) const {
    if (outcome.tasks.size() == job_.ranks.size()) return;
    reasons.push_back(absl::StrCat("room for ", outcome.tasks.size(), " of its ", job_.ranks.size(),
                                   " tasks now; the others wait"));
  }

  void AddQuota(std::vector<std::string>& reasons) const {
    std::vector<std::string> blockers;
    const auto add = [&](const DeviceAlternative* device) {
      Amounts amounts;
      Add(amounts, AmountsOf(job_.shape, device), LeastTasks(job_));
      const Admission admission = state_.queues.Admit(job_.queue, amounts);
      if (admission.admitted) return true;
      for (const std::string& blocker : admission.blockers) {
        if (std::find(blockers.begin(), blockers.end(), blocker) == blockers.end()) {
          blockers.push_back(blocker);
        }
      }
      return false;
    };
    if (job_.shape.devices.empty() && add(nullptr)) return;
    for (const DeviceAlternative& device : job_.shape.devices) {
      if (add(&device)) return;
    }
    reasons.insert(reasons.end(), blockers.begin(), blockers.end());
  }

  bool MayUseNode(NodeIndex node, std::string* why_not) const {
    return scene_.MayUseNode(state_.cluster.node(node), job_, Gates::kAll, why_not);
  }

  std::vector<NodeBlocker> BlockersOn(NodeIndex node) const {
    const NodeState& at = state_.cluster.node(node);
    std::vector<NodeBlocker> blockers = NodeBlockers(at, job_.shape);
    std::string why_not;
    if (!MayUseNode(node, &why_not)) blockers.push_back({why_not, why_not});
    return blockers;
  }

  // What each node lacks for one task; where all is there but not for enough of them, how many it
  // has room for and, if they must be together, the best domain.
  void AddNodes(std::vector<std::string>& reasons) const {
    if (state_.cluster.num_nodes() == 0) {
      reasons.push_back("no node has joined the fabric yet");
      return;
    }
    const int64_t need = LeastTasks(job_);
    const RoomSource room_of = [&](NodeIndex node) -> std::optional<NodeRoom> {
      const NodeState& at = state_.cluster.node(node);
      if (!at.schedulable() || !MayUseNode(node, nullptr)) return std::nullopt;
      return RoomOf(at);
    };
    if (need > 1 && job_.topology && job_.topology->required) AddTopology(need, room_of, reasons);
    int64_t num_fit = 0, num_nodes = 0;
    const std::vector<std::string> lines = DescribeNodes(state_, [&](NodeIndex node) {
      std::vector<NodeBlocker> blockers = BlockersOn(node);
      if (!blockers.empty()) return blockers;
      const int64_t num = NumFitForJob(state_, node, RoomOf(state_.cluster.node(node)), job_,
                                       static_cast<int64_t>(job_.ranks.size()));
      if (num == 0) {
        blockers.push_back({"has a task of this job already", "has a task of this job already"});
        return blockers;
      }
      num_fit += num;
      ++num_nodes;
      const std::string room = absl::StrCat("room for ", num, " of the ", job_.ranks.size(),
                                            job_.ranks.size() == 1 ? " task" : " tasks");
      blockers.push_back({room, "room for some of the tasks", num});
      return blockers;
    });
    if (num_fit > 0 && num_fit < need && num_nodes > 1) {
      reasons.push_back(absl::StrCat(num_nodes, " nodes together have room for ", num_fit,
                                     " of the ", need, " tasks that have to start at once"));
    }
    reasons.insert(reasons.end(), lines.begin(), lines.end());
  }

  void AddTopology(int64_t need, const RoomSource& room_of,
                   std::vector<std::string>& reasons) const {
    const absl::string_view level = LevelName(job_.topology->level);
    const std::optional<LargestDomain> best =
        RoomiestDomain(state_, job_, job_.topology->level, room_of);
    if (best && best->num_tasks >= need) return;
    reasons.push_back(absl::StrCat(
        "no single ", level, " has room for ", need, " tasks: ",
        best ? absl::StrCat("the best, ", best->name, ", has room for ", best->num_tasks)
             : absl::StrCat("none has room for any")));
  }

  void AddVictims(Explanation& why) {
    if (!scene_.policy().preemption || !job_.gates.empty()) return;
    const PreemptionPlan plan = FindVictims(state_, scene_.policy(), job_, scene_.gate(), now_);
    for (const Eviction& eviction : plan.evictions) why.would_evict.push_back(eviction.job_id);
  }

  SchedulerState& state_;
  const JobView& job_;
  absl::Time now_;
  WaitScene scene_;
};

}  // namespace

Explanation Explain(SchedulerState& state, const Policy& policy, absl::string_view job_id,
                    absl::Time now) {
  const JobView* job = state.jobs.Find(job_id);
  if (job == nullptr) {
    return {.reasons = {absl::StrCat("no job ", job_id, " waits or runs here")}};
  }
  if (job->stopping) return {.reasons = {"it is being stopped; it waits again when it has ended"}};
  if (job->ranks.empty()) return {.reasons = job->gates};
  return Explainer(state, policy, *job, now).Run().explanation;
}

WhatIf PlanWhatIf(SchedulerState& state, const Policy& policy, const JobView& job, absl::Time now) {
  JobView asked = job;
  // It may be the next version of a job that exists.
  while (asked.id.empty() || state.jobs.Find(asked.id) != nullptr) asked.id += "what-if";
  const std::string id = asked.id;
  SetJob(state, std::move(asked));
  WhatIf result = Explainer(state, policy, *state.jobs.Find(id), now).Run();
  RemoveJob(state, id);
  result.placement.job_id = job.id;
  return result;
}

}  // namespace oneai::fabric
