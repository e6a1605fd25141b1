// File: compute_fabric/scheduler/victim_choice.h
//
// Whom to stop so that a number of tasks fits on some nodes. Choosing fewest and cheapest whole
// jobs is weighted set cover; this is the greedy for it, node by node, and a reverse pass:
//
//   free room first -> the node whose next task costs least -> ... -> enough? -> drop the dear ones
//                                                                     that turn out unnecessary
//
// A job that runs on several of the nodes is paid once, so its price is split over those it helps.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "compute_fabric/scheduler/node_vacancy.h"
#include "compute_fabric/scheduler/victim_table.h"

namespace oneai::fabric {

struct VictimRequest {
  const SchedulerState* state = nullptr;
  const VictimTable* table = nullptr;
  VacancyShape shape;
  int64_t num_tasks = 0;
  const std::vector<char>* may_evict = nullptr;   // by victim
  const std::vector<int32_t>* already = nullptr;  // stopped in any case, e.g. for the quota
  int64_t victims_max = 0;                        // `already` included
  double cost_max = 0;                            // of those chosen here: give up above it
};

struct VictimChoice {
  bool found = false;
  double cost = 0;               // of `victims`
  std::vector<int32_t> victims;  // without `already`
};

// O(pieces on the nodes x log nodes). Nodes: those the job may use.
VictimChoice ChooseVictims(const VictimRequest& request, absl::Span<const NodeIndex> nodes);

}  // namespace oneai::fabric
