// File: compute_fabric/scheduler/queues/validation.h
//
// Whether a queue tree adds up. Every refusal names the queue, the resource and the nearest valid
// value.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "compute_fabric/scheduler/queues/queue_tree.h"

namespace oneai::fabric {

inline constexpr int64_t kAmountMax = 1'000'000'000'000'000'000;  // sums of a few stay in int64_t
inline constexpr int kQueueDepthMax = 16;
inline constexpr int kQueuePathMax = 253;
inline constexpr int kQueuesMax = 100'000;
inline constexpr double kWeightMax = 1e6;

// InvalidArgument, the first problem: paths (parts of letters, digits, '.', '_', '-' joined by
// '/'), each once; amounts of 0..kAmountMax; weights above 0; limit >= nominal >= lending; children
// together within their parent's nominal; nothing that would be without effect. O(specs).
absl::Status ValidateQueues(const std::vector<QueueSpec>& specs);

}  // namespace oneai::fabric
