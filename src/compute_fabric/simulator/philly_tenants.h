// File: compute_fabric/simulator/philly_tenants.h
//
// What each tenant of the Philly trace is entitled to, and how it would fare with that alone.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compute_fabric/simulator/philly_trace.h"

namespace oneai::fabric {

// Devices by tenant, in proportion to the device-time of its jobs over the whole trace, rounded by
// largest remainder so that they sum to `num_gpus`: what a capacity planner with hindsight would
// give.
std::map<std::string, int> QuotasByUse(const std::vector<PhillyJob>& jobs, int num_gpus);

// Completion time (since submission, seconds) of each job when its tenant has a partition of its
// own of the quota's size, or of its largest job's where that is more, run by EASY backfill: the
// static partition that a shared cluster competes with.
std::vector<double> IsolatedByTenant(const std::vector<PhillyJob>& jobs,
                                     const std::map<std::string, int>& quotas);

}  // namespace oneai::fabric
