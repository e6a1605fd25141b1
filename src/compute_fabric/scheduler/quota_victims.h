// File: compute_fabric/scheduler/quota_victims.h
//
// Whom to stop so that the queue admits a job at all: jobs below the limits that stand in its way.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "compute_fabric/scheduler/victim_trial.h"

namespace oneai::fabric {

// Nobody: it is admitted. Nothing: no evictions help. Cheapest first for what they give of the
// resource that lacks. O(victims) for each that is chosen; `request.state` comes back as it was.
std::optional<std::vector<int32_t>> FindQuotaVictims(const TrialRequest& request,
                                                     const std::vector<char>& may_evict,
                                                     int64_t victims_max);

}  // namespace oneai::fabric
