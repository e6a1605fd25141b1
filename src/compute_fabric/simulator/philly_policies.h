// File: compute_fabric/simulator/philly_policies.h
//
// Five classical queueing policies on one pool of devices without node boundaries, for an oracle
// that knows run times: what a scheduler has to be compared with.
#pragma once

#include <cstdint>
#include <vector>

#include "compute_fabric/simulator/philly_trace.h"

namespace oneai::fabric {

enum class PoolPolicy {
  kFifo,  // head of line blocks
  kEasy,  // EASY backfill (Lifka, JSSPP'95)
  kSkip,  // FIFO, skipping what does not fit
  kSjf,   // shortest job first, no preemption
  kSrtf,  // shortest remaining time, free preemption
};

// Completion time of each job, parallel to `jobs`. At each instant first release, then admit, then
// schedule. Precondition: in order of submission; each asks for at most `num_gpus`.
std::vector<int64_t> SimulatePool(const std::vector<PhillyJob>& jobs, int num_gpus,
                                  PoolPolicy policy);

}  // namespace oneai::fabric
