#include "models/ops/rope_frequencies.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace oneai::models {
namespace {

// The (fractional) dimension that turns `rotations` times within the original context.
double DimensionOf(double rotations, const RopeConfig& rope, double head_dim) {
  const double positions = static_cast<double>(rope.yarn_original_positions);
  return head_dim * std::log(positions / (rotations * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(rope.theta));
}

}  // namespace

RopeFrequencies ComputeRopeFrequencies(const RopeConfig& rope, int64_t head_dim) {
  RopeFrequencies result;
  const double dim = static_cast<double>(head_dim);
  double low = 0.0, high = 0.0;
  const bool yarn = rope.scaling == RopeScaling::kYarn;
  if (yarn) {
    result.attention_factor = static_cast<float>(rope.yarn_attention_factor);
    low = DimensionOf(rope.yarn_beta_fast, rope, dim);
    high = DimensionOf(rope.yarn_beta_slow, rope, dim);
    if (rope.yarn_truncate) low = std::floor(low), high = std::ceil(high);
    low = std::max(low, 0.0);
    high = std::min(high, dim - 1.0);
    if (low == high) high += 0.001;  // as the reference does, so that the ramp has a slope
  }
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double plain = std::pow(rope.theta, -2.0 * static_cast<double>(i) / dim);
    const double ramp =
        yarn ? std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0) : 0.0;
    const double slowed = yarn ? plain / rope.yarn_factor : plain;
    result.inv_freq.push_back(static_cast<float>(slowed * ramp + plain * (1.0 - ramp)));
  }
  return result;
}

}  // namespace oneai::models
