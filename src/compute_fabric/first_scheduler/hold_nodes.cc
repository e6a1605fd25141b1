#include "compute_fabric/first_scheduler/hold_nodes.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "compute_fabric/first_scheduler/filter_nodes.h"
#include "compute_fabric/first_scheduler/rank_nodes.h"

namespace oneai::fabric::inline first {

void HoldNodesFor(const PendingJob& job, absl::Time now, std::vector<NodeSnapshot>& nodes) {
  if (!job.gang || now - job.submitted < kHoldAfter) return;
  std::vector<NodeSnapshot*> useful;
  int64_t room = 0;
  const int64_t wanted = static_cast<int64_t>(job.ranks.size());
  for (NodeSnapshot& node : nodes) {
    if (!node.schedulable) continue;
    int64_t node_room = 0;
    for (const DeviceAlternative* device : RankDevices(job.shape)) {
      node_room = std::max(node_room, NumTasksThatFitEmpty(node, job.shape, device));
    }
    if (node_room == 0) continue;
    useful.push_back(&node);
    room += job.spread == SpreadPolicy::kNode ? 1 : std::min(node_room, wanted);
  }
  if (room < wanted) return;
  for (NodeSnapshot* node : useful) {
    node->schedulable = false;
    node->unschedulable_reason =
        absl::StrCat("held for ", job.id, ", which has waited long for its gang");
  }
}

}  // namespace oneai::fabric::inline first
