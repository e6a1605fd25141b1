// File: compute_fabric/scheduler/victim_table.h
//
// The jobs that could be stopped, for the searches of one pass: what each would give back where,
// and what stopping it costs. Numbers instead of names, so that a search looks at 50,000 jobs in a
// millisecond.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/time/time.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {

// What one task gives back on its node.
struct VictimPiece {
  int32_t victim = 0;
  NodeIndex node = kNoNode;
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  int32_t num_ports = 0;
  // Index in NodeState::devices, milli.
  absl::InlinedVector<std::pair<int32_t, int32_t>, 8> devices;
};

struct Victim {
  const JobView* job = nullptr;
  int32_t queue = 0;  // VictimTable::queues
  double cost = 0;    // EvictionCost
  // Its pieces in VictimTable::pieces.
  int32_t first_piece = 0;
  int32_t num_pieces = 0;
};

struct VictimTable {
  std::vector<std::string> queues;
  std::vector<Victim> victims;      // preemptible jobs that hold something, by expected end
  std::vector<VictimPiece> pieces;  // by victim
  // Indexes of pieces by node: of node n from node_start[n] to node_start[n + 1].
  std::vector<int32_t> node_start;
  std::vector<int32_t> on_node;
};

// O(tasks that run).
VictimTable MakeVictimTable(SchedulerState& state, absl::Time now);

}  // namespace oneai::fabric
