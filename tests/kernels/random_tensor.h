// Seeded test data and the magnitudes that derived tolerances need.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "kernels/cpu/bfloat16.h"

namespace oneai::kernels {

// Half the distance from 1 to the next float: the largest relative error of one rounding.
inline constexpr double kFloatEps = 0x1p-24;
// Below the smallest normal float, variants may flush to zero.
inline constexpr double kFloatMin = 0x1p-126;

inline std::vector<float> RandomFloats(int64_t count, uint64_t seed, float scale = 1.0f) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(count);
  for (float& x : values) x = normal(random);
  return values;
}

inline std::vector<BFloat16> ToBFloat16s(const std::vector<float>& values) {
  std::vector<BFloat16> rounded;
  rounded.reserve(values.size());
  for (float x : values) rounded.push_back(ToBFloat16(x));
  return rounded;
}

}  // namespace oneai::kernels
