// File: compute_fabric/scheduler/cluster/node_fit.h
//
// What fits on one node, and which of its devices a task gets. Pure functions of the node's state.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>

#include "absl/container/inlined_vector.h"
#include "compute_fabric/scheduler/cluster/cluster_state.h"

namespace oneai::fabric {

using DeviceIndexes = absl::InlinedVector<int32_t, 8>;

bool MatchesSelector(const NodeSpec& node, const std::map<std::string, std::string>& selector);

// A share's part of its device's memory: what it asks for, or in proportion to milli.
int64_t DeviceMemoryOf(const DeviceSpec& device, const DeviceAlternative& wanted);

// Tasks of `shape` that fit together now, at most `limit`; service state and selector are not
// looked at. `kind` is the interned device->kind.
int64_t NumFitOnNode(const NodeState& node, const TaskShape& shape, const DeviceAlternative* device,
                     int32_t kind, int64_t limit, int32_t nvlink_domain);

// As if nothing were taken and all devices were healthy.
int64_t NumFitOnEmptyNode(const NodeState& node, const TaskShape& shape,
                          const DeviceAlternative* device);

// The devices for one task. Whole ones: of the NVLink domain with the fewest free ones that has
// enough, lowest index first; when none has, of the domains with most. A share: choice.device if it
// has room, else the device with least left that has. Precondition: they fit.
DeviceIndexes ChooseDevices(const NodeState& node, const DeviceAlternative& device, int32_t kind,
                            const DeviceChoice& choice);

}  // namespace oneai::fabric
