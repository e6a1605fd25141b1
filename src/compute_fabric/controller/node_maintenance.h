// File: compute_fabric/controller/node_maintenance.h
//
// Maintenance windows empty their nodes: a drain that ends with the window. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "oneai/fabric/v1/node.pb.h"

namespace oneai::fabric {

// How long before a window its nodes begin to be emptied, so that they are empty when it starts.
inline constexpr absl::Duration kMaintenanceLead = absl::Minutes(5);

// `drain` is set: begin it; absent: the one that a window began is over.
struct MaintenanceChange {
  std::string node;
  bool begin = false;
  v1::Drain drain;
};

// For nodes of windows that are near or under way and not draining yet, and for nodes that drain
// for a window that has ended or is gone.
std::vector<MaintenanceChange> PlanMaintenance(const std::vector<const v1::Node*>& nodes,
                                               const std::vector<const v1::Reservation*>& windows,
                                               absl::Time now);

}  // namespace oneai::fabric
