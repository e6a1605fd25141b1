#include "compute_fabric/scheduler/gang_commit.h"

#include <algorithm>
#include <utility>

namespace oneai::fabric {

std::vector<TaskPlacement> CommitChoices(SchedulerState& state, const JobView& job,
                                         const DeviceAlternative* device,
                                         std::vector<NodeChoice> choices,
                                         absl::Span<const int> ranks) {
  ClusterState& cluster = state.cluster;
  std::stable_sort(choices.begin(), choices.end(), [&](const NodeChoice& a, const NodeChoice& b) {
    return cluster.node(a.node).rank < cluster.node(b.node).rank;
  });
  std::vector<TaskPlacement> tasks;
  tasks.reserve(ranks.size());
  const bool is_share = device != nullptr && device->milli < kWholeDevice;
  for (const NodeChoice& choice : choices) {
    for (int32_t i = 0; i < choice.num_tasks && tasks.size() < ranks.size(); ++i) {
      if (!cluster.Fits(choice.node, job.shape, device, choice.nvlink_domain)) break;
      DeviceChoice which{choice.nvlink_domain, choice.device};
      // The first share has changed what the next is best put on.
      if (i > 0 && is_share) {
        const Scorer& scorer = state.candidates.scorer();
        which.device = scorer.Score(cluster.node(choice.node), job.shape, device).device;
      }
      tasks.push_back(
          cluster.Take(choice.node, job.shape, device, ranks[tasks.size()], job.port_seed, which));
    }
  }
  return tasks;
}

}  // namespace oneai::fabric
