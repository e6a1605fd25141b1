#include "compute_fabric/first_scheduler/plan.h"

#include <algorithm>

#include "compute_fabric/first_scheduler/explain.h"
#include "compute_fabric/first_scheduler/gang_commit.h"
#include "compute_fabric/first_scheduler/hold_nodes.h"
#include "compute_fabric/first_scheduler/order_jobs.h"
#include "compute_fabric/first_scheduler/quota.h"

namespace oneai::fabric::inline first {
namespace {

// The job without the ranks that were placed: what is left to explain.
PendingJob Remainder(const PendingJob& job, const std::vector<TaskPlacement>& placed) {
  PendingJob rest = job;
  rest.ranks.erase(rest.ranks.begin(), rest.ranks.begin() + static_cast<int64_t>(placed.size()));
  for (const TaskPlacement& task : placed) rest.nodes_held.insert(task.node);
  return rest;
}

}  // namespace

PlacementPlan Plan(const ClusterSnapshot& snapshot, absl::Time now) {
  PlacementPlan plan;
  std::vector<NodeSnapshot> nodes = snapshot.nodes;
  std::sort(nodes.begin(), nodes.end(),
            [](const NodeSnapshot& a, const NodeSnapshot& b) { return a.name < b.name; });
  std::map<std::string, QueueSnapshot> queues = snapshot.queues;
  for (const PendingJob* job : OrderJobs(snapshot.pending)) {
    if (job->ranks.empty()) continue;
    QueueSnapshot& queue = queues[job->project];
    const int64_t least = job->gang ? static_cast<int64_t>(job->ranks.size()) : 1;
    if (std::vector<std::string> blockers = QuotaBlockers(job->project, queue, job->shape, least);
        !blockers.empty()) {
      plan.pending.push_back({job->id, std::move(blockers)});
      continue;
    }
    std::vector<TaskPlacement> tasks = CommitJob(*job, nodes, queue);
    if (tasks.size() < job->ranks.size()) {
      const PendingJob rest = Remainder(*job, tasks);
      std::vector<std::string> reasons =
          QuotaBlockers(rest.project, queue, rest.shape, job->gang ? least : 1);
      if (reasons.empty()) reasons = ExplainPending(rest, nodes);
      plan.pending.push_back({job->id, std::move(reasons)});
      HoldNodesFor(rest, now, nodes);
    }
    if (!tasks.empty()) plan.placements.push_back({job->id, std::move(tasks)});
  }
  return plan;
}

}  // namespace oneai::fabric::inline first
