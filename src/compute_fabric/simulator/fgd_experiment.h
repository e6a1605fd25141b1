// File: compute_fabric/simulator/fgd_experiment.h
//
// The packing experiment of FGD (Weng et al., "Beware of Fragmentation", USENIX ATC'23): tasks
// arrive in random order and never leave; one that fits nowhere is dropped. The nodes are scored by
// the scheduler's own Scorer.
#pragma once

#include <cstdint>
#include <vector>

#include "compute_fabric/scheduler/cluster/node.h"
#include "compute_fabric/scheduler/cluster/resources.h"
#include "compute_fabric/scheduler/policy.h"

namespace oneai::fabric {

inline constexpr int kFgdArrivedPctMax = 130;

// What was seen while the arrived GPU request was at one whole percent of the cluster's GPUs.
struct FgdPoint {
  double alloc_pct = 0;        // GPUs allocated, of all
  double frag_amount_pct = 0;  // GPUs in fragments, of all
  double frag_ratio_pct = 0;   // GPUs in fragments, of the idle ones
};

struct FgdRun {
  std::vector<FgdPoint> by_arrived_pct;  // 0 .. kFgdArrivedPctMax
  int64_t num_arrived = 0;
  int64_t num_failed = 0;  // dropped
};

// One run. The seed decides the order of arrival (a shuffle, then draws with replacement until 130
// % of the GPUs are asked for, or random removals down to it), the steady order of the nodes, and
// the choices of kRandom. Equal arguments give equal results on every machine. Preconditions: some
// node has devices, some task wants one.
FgdRun RunFgd(const std::vector<NodeSpec>& nodes, const std::vector<TaskShape>& tasks,
              ScorePolicy policy, uint64_t seed);

}  // namespace oneai::fabric
