// File: compute_fabric/simulation/fault_plan.h
//
// When things go wrong: each kind of fault of the scenario comes again and again at random moments
// until the faults' time is over, and each lasts for a random while.
#pragma once

#include "absl/time/time.h"
#include "compute_fabric/simulation/world.h"

namespace oneai::fabric::simulation {

// Plans the faults from now until `until`; then everything heals. `world` must outlive the
// simulation.
void PlanFaults(World& world, const FaultRates& rates, absl::Time until);

}  // namespace oneai::fabric::simulation
