// File: compute_fabric/controller/past_use.h
//
// What queues used before this controller started, for their fair share: a restart or a fail-over
// must not make the greediest queue the first in line.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/scheduler/queues/queue_tree.h"

namespace oneai::fabric {

// Lives the past through again on a tree that has not begun to decay: day by day, each queue using
// evenly what its jobs' records say it used on that day, up to `now`. Jobs that retention has
// deleted are too old to count for much. Nothing else of the tree changes.
void ReplayPastUse(QueueTree& tree, const std::vector<JobRecord>& jobs, absl::Duration half_life,
                   absl::Time now);

}  // namespace oneai::fabric
