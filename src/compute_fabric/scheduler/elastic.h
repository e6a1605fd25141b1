// File: compute_fabric/scheduler/elastic.h
//
// Phase 8: elastic gangs grow into what is idle and shrink for those who wait, at their next
// checkpoint. Shrinking is tried before anybody is evicted.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/scheduler/decisions.h"
#include "compute_fabric/scheduler/place_job.h"

namespace oneai::fabric {

// Resizes to make after a pass in which `waiting` could not be placed: shrink gangs above their
// minimum when that would let a waiting job of the same or a more deserving queue start; with
// nobody waiting for the same kind of device, grow the gang that gains most. Never the same gang
// twice within policy.resize_interval of its start. `state` comes back as it was.
std::vector<Resize> PlanResizes(SchedulerState& state, const Policy& policy,
                                const std::vector<const JobView*>& waiting, absl::Time now);

}  // namespace oneai::fabric
