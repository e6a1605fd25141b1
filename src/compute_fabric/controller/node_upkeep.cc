#include "compute_fabric/controller/node_upkeep.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "compute_fabric/controller/node_drain.h"
#include "compute_fabric/controller/node_maintenance.h"
#include "compute_fabric/jobs/job_state.h"

namespace oneai::fabric {
namespace {

constexpr absl::Duration kStragglerInterval = absl::Seconds(10);

}  // namespace

absl::Status NodeUpkeep::Step(absl::Time now) {
  RETURN_IF_ERROR(LookForStragglers(now));
  RETURN_IF_ERROR(KeepWindows(now));
  RETURN_IF_ERROR(DrainNodes(now));
  RETURN_IF_ERROR(EndSurges());
  return ChangeSpares();
}

absl::Status NodeUpkeep::KeepWindows(absl::Time now) {
  const std::vector<Record<v1::Node>> records = state_->nodes().All();
  const std::vector<Record<v1::Reservation>> reservations = state_->reservations().All();
  std::vector<const v1::Node*> nodes;
  for (const auto& record : records) nodes.push_back(record.value.get());
  std::vector<const v1::Reservation*> windows;
  for (const auto& record : reservations) windows.push_back(record.value.get());
  for (const MaintenanceChange& change : PlanMaintenance(nodes, windows, now)) {
    RETURN_IF_ERROR(state_
                        ->UpdateNode(change.node,
                                     [&](v1::Node& node, EventDrafts& events) {
                                       if (node.has_drain() == change.begin) return false;
                                       if (change.begin) {
                                         *node.mutable_drain() = change.drain;
                                       } else {
                                         node.clear_drain();
                                       }
                                       if (node.state() != v1::LOST) SettleState(node);
                                       events.push_back(
                                           {change.begin ? "node.draining" : "node.back_in_service",
                                            change.node,
                                            change.begin ? absl::StrCat("for ", change.drain.by())
                                                         : "its maintenance window is over",
                                            "info"});
                                       return true;
                                     })
                        .status());
  }
  return absl::OkStatus();
}

absl::Status NodeUpkeep::DrainNodes(absl::Time now) {
  for (const Record<v1::Node>& node : state_->nodes().All()) {
    if (!node.value->has_drain() || node.value->state() == v1::DRAINED) continue;
    RETURN_IF_ERROR(DrainNode(*node.value, now));
  }
  return absl::OkStatus();
}

absl::Status NodeUpkeep::DrainNode(const v1::Node& node, absl::Time now) {
  const std::string& name = node.info().name();
  bool empty = true;
  for (const JobRecord& job : state_->JobsOnNode(name)) {
    empty = false;
    RETURN_IF_ERROR(state_
                        ->UpdateJob(job.value->id(),
                                    [&](v1::Job& copy, EventDrafts& events) {
                                      if (!DrainJob(copy, node, now, events)) return false;
                                      Advance(copy, now, events);
                                      return true;
                                    })
                        .status());
  }
  // A lost node's tasks are the lease's business; it is drained when it is heard and empty.
  if (!empty || node.state() != v1::DRAINING) return absl::OkStatus();
  return state_
      ->UpdateNode(
          name,
          [&](v1::Node& copy, EventDrafts& events) {
            if (copy.state() != v1::DRAINING || !state_->JobsOnNode(name).empty()) {
              return false;
            }
            copy.set_state(v1::DRAINED);
            SettleState(copy);
            events.push_back({"node.drained", name, "nothing runs there any more", "info"});
            return true;
          })
      .status();
}

absl::Status NodeUpkeep::EndSurges() {
  for (const std::string& id : state_->job_index().Serving()) {
    const JobRecord job = state_->jobs().Find(id);
    if (job.value == nullptr) continue;
    const auto label = job.value->spec().labels().find(kDrainSurgeLabel);
    if (label == job.value->spec().labels().end()) continue;
    const Record<v1::Node> node = state_->nodes().Find(label->second);
    RETURN_IF_ERROR(state_
                        ->UpdateJob(id,
                                    [&](v1::Job& copy, EventDrafts& events) {
                                      return EndSurge(copy, node.value.get(), events);
                                    })
                        .status());
  }
  return absl::OkStatus();
}

absl::Status NodeUpkeep::ChangeSpares() {
  const std::vector<Record<v1::Node>> records = state_->nodes().All();
  std::vector<const v1::Node*> nodes;
  bool any_spare = false;
  for (const Record<v1::Node>& record : records) {
    nodes.push_back(record.value.get());
    any_spare |= record.value->spare();
  }
  if (!any_spare) return absl::OkStatus();
  for (const SpareChange& change : PlanSpares(nodes)) {
    RETURN_IF_ERROR(
        state_
            ->UpdateNode(change.spare,
                         [&](v1::Node& spare, EventDrafts& events) {
                           if (!spare.spare() || spare.standing_in_for() == change.node) {
                             return false;
                           }
                           events.push_back(
                               {change.node.empty() ? "node.spare_held" : "node.spare_in_service",
                                change.spare,
                                change.node.empty()
                                    ? absl::StrCat(spare.standing_in_for(), " is back in service")
                                    : absl::StrCat("stands in for ", change.node),
                                "info"});
                           spare.set_standing_in_for(change.node);
                           return true;
                         })
            .status());
  }
  return absl::OkStatus();
}

absl::Status NodeUpkeep::LookForStragglers(absl::Time now) {
  // A clock that was set back must not stop this for as long.
  if (now < next_straggler_look_ && now + kStragglerInterval >= next_straggler_look_) {
    return absl::OkStatus();
  }
  next_straggler_look_ = now + kStragglerInterval;
  for (const std::string& id : state_->job_index().Unfinished()) {
    const JobRecord job = state_->jobs().Find(id);
    if (job.value == nullptr || job.value->state() != v1::RUNNING || !job.value->spec().gang() ||
        job.value->tasks_size() < straggler_policy_.num_ranks_min) {
      continue;
    }
    RETURN_IF_ERROR(LookForStragglers(*job.value, now));
  }
  return absl::OkStatus();
}

absl::Status NodeUpkeep::LookForStragglers(const v1::Job& job, absl::Time now) {
  const StepTimes times = StepTimesOf(metrics_->Get(job.id(), {}), job.attempt());
  for (const Straggler& straggler : FindStragglers(times, straggler_policy_)) {
    const auto task = std::find_if(job.tasks().begin(), job.tasks().end(),
                                   [&](const v1::Task& t) { return t.rank() == straggler.rank; });
    // Several slow ranks on one node are one slow node.
    if (task == job.tasks().end() || state_->nodes().Find(task->node()).value == nullptr) continue;
    const std::string message =
        absl::StrFormat("rank %d of %s took %.1f times its gang's median for %d steps",
                        straggler.rank, job.id(), straggler.factor, straggler_policy_.num_steps);
    RETURN_IF_ERROR(
        state_
            ->UpdateNode(task->node(),
                         [&](v1::Node& node, EventDrafts& events) {
                           if (!SetCheck(node, kStragglerCheck, false, message, now, events)) {
                             return false;
                           }
                           ApplyHealth(node, health_limits_, now, events);
                           if (node.state() != v1::LOST) SettleState(node);
                           return true;
                         })
            .status());
  }
  return absl::OkStatus();
}

}  // namespace oneai::fabric
