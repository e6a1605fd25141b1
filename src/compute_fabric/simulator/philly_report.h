// File: compute_fabric/simulator/philly_report.h
//
// The rows of the Philly comparison, as a table and as JSON.
#pragma once

#include <string>
#include <vector>

#include "compute_fabric/simulator/replay_figures.h"

namespace oneai::fabric {

struct PhillyRow {
  std::string policy;
  std::string setting;  // what is not in the policy's name: "limits x1-3, nodes of 8"
  QueueingFigures queueing;
  FairnessFigures by_share;   // T_isolated: 1/N of the pool, N jobs present (IsolatedByShare)
  FairnessFigures by_tenant;  // T_isolated: the tenant's quota as a partition (IsolatedByTenant)
  int64_t num_evictions = 0;
  double lost_share = 0;  // of the device-time, by work done again after evictions
  double wall_s = 0;      // what the replay took
};

std::string PhillyTable(const std::vector<PhillyRow>& rows);
std::string PhillyJson(const std::vector<PhillyRow>& rows);

}  // namespace oneai::fabric
