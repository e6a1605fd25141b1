// File: compute_fabric/scheduler/queues/sandbox.h
//
// A small guaranteed share for every unit, so that nobody's experiment waits for a committee and
// nobody has to set it up.
#pragma once

#include <string>
#include <vector>

#include "compute_fabric/scheduler/queues/queue_tree.h"

namespace oneai::fabric {

// `specs` with a queue "<unit>/sandbox" of `amounts` for each of `units` (and each unit of `specs`)
// that has none: its nominal is never lent. A unit that writes a nominal of its own gets `amounts`
// on top of it, so that the tree still adds up and its projects lose nothing; a root nominal that
// is written likewise. Empty `amounts`: `specs` as they are. Order: specs, then sandboxes by unit.
std::vector<QueueSpec> WithSandboxes(std::vector<QueueSpec> specs,
                                     const std::vector<std::string>& units, const Amounts& amounts);

}  // namespace oneai::fabric
