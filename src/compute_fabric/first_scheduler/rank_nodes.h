// File: compute_fabric/first_scheduler/rank_nodes.h
//
// Phase 4: which of the nodes that fit is best.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compute_fabric/first_scheduler/cluster_snapshot.h"

namespace oneai::fabric::inline first {

// The device choices of a task in the order to try them: higher relative throughput first, then as
// the job lists them. A job without devices has the one choice null. The pointers borrow from
// `shape`.
std::vector<const DeviceAlternative*> RankDevices(const TaskShape& shape);

// Where `num_tasks` tasks should go: a node name per task, as many as fit (fewer than asked when
// the cluster is too full). `held`: how many tasks of the job each node has already.
//   kPack: of the nodes that take all of the rest the one with the fewest accelerators that the
//   task did not ask for, then with least to spare; else the one that takes most: as few nodes as
//   possible. kNode: nodes that hold none, one task each. kNodePreferred: the same,
//   then over again with those that hold fewest.
// Among near-equals: the node with the fewest accelerators that the task did not ask for (keep them
// free for those who do), then the fuller node (keep big holes whole), then by name, so that nodes
// fill in a steady order.
std::vector<std::string> RankNodes(const std::vector<NodeSnapshot>& nodes, const TaskShape& shape,
                                   const DeviceAlternative* device, SpreadPolicy spread,
                                   int64_t num_tasks, std::map<std::string, int64_t> held);

}  // namespace oneai::fabric::inline first
