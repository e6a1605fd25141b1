// File: compute_fabric/controller/queue_requests.h
//
// What people ask of queues: limits per project, and their use.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "base/auth/access.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/hooks.h"

namespace oneai::fabric {

// The queues that the caller may see, with their use.
std::vector<v1::Queue> ListQueuesFor(const FabricState& state, const Identity& caller);

// Sets a project's limits. Tasks that run are left alone; new ones wait. InvalidArgument,
// PermissionDenied.
absl::StatusOr<v1::Queue> SetQueue(FabricState& state, const ControllerHooks& hooks,
                                   const v1::Queue& queue, const Identity& caller);

}  // namespace oneai::fabric
