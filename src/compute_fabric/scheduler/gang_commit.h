// File: compute_fabric/scheduler/gang_commit.h
//
// Phase 5: takes what was chosen, for all or, by the caller's rollback, for none.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "compute_fabric/scheduler/choose_nodes.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {

// Takes the resources of one task a rank, until the choices or the ranks are used up. Neighbours in
// rank become neighbours in the steady order of nodes, which goes rack by rack. A choice that no
// longer fits is skipped.
std::vector<TaskPlacement> CommitChoices(SchedulerState& state, const JobView& job,
                                         const DeviceAlternative* device,
                                         std::vector<NodeChoice> choices,
                                         absl::Span<const int> ranks);

}  // namespace oneai::fabric
