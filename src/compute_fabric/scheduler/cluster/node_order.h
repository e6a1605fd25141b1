// File: compute_fabric/scheduler/cluster/node_order.h
//
// The steady order in which near-equal nodes are filled.
#pragma once

#include <cstdint>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "compute_fabric/scheduler/cluster/node.h"

namespace oneai::fabric {

// Hash that is the same in every process (absl::Hash is not).
uint64_t SteadyHash(absl::string_view text, uint64_t seed);

// Gives each node a place: hash of its zone, then of its rack, then of its name. Copyable.
class NodeOrder {
 public:
  explicit NodeOrder(uint64_t seed = 0) : seed_(seed) {}
  uint64_t seed() const { return seed_; }
  // A place that no other node has.
  int64_t Assign(const NodeSpec& node);
  void Free(int64_t rank) { taken_.erase(rank); }

 private:
  uint64_t seed_;
  absl::flat_hash_set<int64_t> taken_;
};

}  // namespace oneai::fabric
