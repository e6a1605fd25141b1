// File: compute_fabric/scheduler/score/policies.h
//
// The policies behind MakeScorer, one file each, and the way they look at a node's devices.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "compute_fabric/scheduler/score/score.h"

namespace oneai::fabric {

std::unique_ptr<Scorer> MakeOneaiScorer(std::vector<TypicalTask> typical_tasks);
std::unique_ptr<Scorer> MakeFgdScorer(std::vector<TypicalTask> typical_tasks);
std::unique_ptr<Scorer> MakeBestFitScorer();
std::unique_ptr<Scorer> MakePackingScorer();
std::unique_ptr<Scorer> MakeClusteringScorer();
std::unique_ptr<Scorer> MakeDotProductScorer();
std::unique_ptr<Scorer> MakeRandomScorer(uint64_t seed);

// The yardsticks of the published baselines: the largest node of their cluster.
inline constexpr double kNodeCpuMilli = 128'000;
inline constexpr double kNodeDeviceMilli = 8'000;

// Milli-devices left on healthy devices.
int64_t DeviceMilliFree(const NodeState& node);
// Whether device `index` has room for one device of `wanted`.
bool DeviceFits(const NodeState& node, size_t index, const DeviceAlternative& wanted);
// Of the devices with room for the share `wanted`, the one with least left, lowest index first.
// -1: none, or `wanted` is null or of whole devices.
int TightestDevice(const NodeState& node, const DeviceAlternative* wanted);

inline int ClampScore(double score) {
  return static_cast<int>(std::clamp(score, 0.0, double{kScoreMax}));
}

}  // namespace oneai::fabric
