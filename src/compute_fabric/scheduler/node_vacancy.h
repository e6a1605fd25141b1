// File: compute_fabric/scheduler/node_vacancy.h
//
// How many tasks would fit on a node if some of its jobs were stopped: a small copy of what is
// free, to which victims add. Exact for whole devices; a share's own device memory is not looked
// at, the placement that follows does.
#pragma once

#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "compute_fabric/scheduler/cluster/cluster_state.h"
#include "compute_fabric/scheduler/victim_table.h"

namespace oneai::fabric {

// What is asked for, the same for all nodes of a search.
struct VacancyShape {
  const TaskShape* shape = nullptr;
  const DeviceAlternative* device = nullptr;  // null: none
  int32_t kind = -1;                          // interned device->kind
  int32_t nvlink_domain = kAnyDomain;         // only devices of this domain
  int64_t per_node_max = 0;                   // tasks on one node, whatever fits
};

class NodeVacancy {
 public:
  NodeVacancy(const NodeState& node, const VacancyShape& shape);
  void Add(const VictimPiece& piece);
  void Remove(const VictimPiece& piece);
  int64_t NumFit(const VacancyShape& shape) const;
  // Whether the piece gives anything that a task of the shape lacks here.
  bool IsUseful(const VictimPiece& piece, const VacancyShape& shape) const;

 private:
  void Apply(const VictimPiece& piece, int sign);

  int64_t cpu_milli_;
  int64_t memory_bytes_;
  int64_t num_ports_;
  absl::InlinedVector<int32_t, 16> milli_;  // by device; kUnusable: of another kind, sick, ...
};

}  // namespace oneai::fabric
