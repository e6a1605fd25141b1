// File: compute_fabric/first_scheduler/filter_nodes.h
//
// Phase 3: which nodes can take a task at all, and what stands in the way on the others.
#pragma once

#include <string>
#include <vector>

#include "compute_fabric/first_scheduler/cluster_snapshot.h"

namespace oneai::fabric::inline first {

// How many more tasks of `shape` with `device` (null: none) fit on `node` now. 0 when it is not
// schedulable. `num_ports` of the shape counts for each task.
int64_t NumTasksThatFit(const NodeSnapshot& node, const TaskShape& shape,
                        const DeviceAlternative* device);

// The same on the empty node, whatever its state: what it could ever take.
int64_t NumTasksThatFitEmpty(const NodeSnapshot& node, const TaskShape& shape,
                             const DeviceAlternative* device);

// Why one more task of `shape` does not fit on `node` ("1 CPU free of 2", "no x86-amx", "cordoned:
// disk swap"), every blocker. Empty: one fits.
std::vector<std::string> NodeBlockers(const NodeSnapshot& node, const TaskShape& shape);

// Usable devices of `kind`: healthy, and free unless `empty`.
int64_t NumDevices(const NodeSnapshot& node, const std::string& kind, bool empty);

}  // namespace oneai::fabric::inline first
