// File: compute_fabric/scheduler/node_blockers.h
//
// What each node lacks for a job, in words, and the same for thousands of nodes in a few lines.
#pragma once

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {

// One thing that a node lacks.
struct NodeBlocker {
  std::string exact;   // "3 of 8 nvidia-h100-80g free"
  std::string coarse;  // "fewer than 4 nvidia-h100-80g free": the same for many nodes
  // How near the node comes, for the best of those that share the coarse text: 3. -1: no measure.
  int64_t has = -1;
};

// All that stands between one task of `shape` and the node's own state. Empty: it fits.
std::vector<NodeBlocker> NodeBlockers(const NodeState& node, const TaskShape& shape);

// What blocks one node; empty: nothing.
using BlockersOf = absl::FunctionRef<std::vector<NodeBlocker>(NodeIndex node)>;

// One line a node ("node-a: 1 CPU free of 2") while there are at most `lines_max` nodes; else one a
// group, largest first ("on 812 of 1,000 nodes: 0 of 8 nvidia-h100-80g free"), exact where that
// gives few groups, coarse with the best node named where it does not, and what is over in one
// line.
std::vector<std::string> DescribeNodes(const SchedulerState& state, BlockersOf blockers_of,
                                       int64_t lines_max = 16);

}  // namespace oneai::fabric
