#include "models/ops/rope_frequencies.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

namespace oneai::models {
namespace {

// Shares of a dimension's plain frequency: 1 keeps it, 1 / factor slows it.
class YarnRamp {
 public:
  YarnRamp(const RopeConfig& rope, double dim) : rope_(rope), dim_(dim) {
    low_ = DimensionOf(rope.yarn_beta_fast);
    high_ = DimensionOf(rope.yarn_beta_slow);
    if (rope.yarn_truncate) low_ = std::floor(low_), high_ = std::ceil(high_);
    low_ = std::max(low_, 0.0);
    high_ = std::min(high_, dim - 1.0);
    if (low_ == high_) high_ += 0.001;  // as the reference does, so that the ramp has a slope
  }

  double Scale(double plain, double i) const {
    const double ramp = std::clamp((i - low_) / (high_ - low_), 0.0, 1.0);
    return plain / rope_.yarn_factor * ramp + plain * (1.0 - ramp);
  }

 private:
  // The (fractional) dimension that turns `rotations` times within the original context.
  double DimensionOf(double rotations) const {
    const double positions = static_cast<double>(rope_.yarn_original_positions);
    return dim_ * std::log(positions / (rotations * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(rope_.theta));
  }

  const RopeConfig& rope_;
  const double dim_;
  double low_ = 0, high_ = 0;
};

double Llama3Scale(const RopeConfig& rope, double plain) {
  const double positions = static_cast<double>(rope.llama3_original_positions);
  const double turns = positions * plain / (2.0 * std::numbers::pi);  // positions / wavelength
  const double low = rope.llama3_low_frequency_factor, high = rope.llama3_high_frequency_factor;
  const double kept = std::clamp((turns - low) / (high - low), 0.0, 1.0);
  return plain * kept + plain / rope.llama3_factor * (1.0 - kept);
}

}  // namespace

RopeFrequencies ComputeRopeFrequencies(const RopeConfig& rope, int64_t rotary_dim,
                                       double ntk_alpha) {
  RopeFrequencies result;
  const double dim = static_cast<double>(rotary_dim);
  const double theta =
      ntk_alpha == 1.0 ? rope.theta : rope.theta * std::pow(ntk_alpha, dim / (dim - 2.0));
  const bool yarn = rope.scaling == RopeScaling::kYarn;
  if (yarn) result.attention_factor = static_cast<float>(rope.yarn_attention_factor);
  std::optional<YarnRamp> ramp;
  if (yarn) ramp.emplace(rope, dim);
  for (int64_t i = 0; i < rotary_dim / 2; ++i) {
    double frequency = std::pow(theta, -2.0 * static_cast<double>(i) / dim);
    if (yarn) frequency = ramp->Scale(frequency, static_cast<double>(i));
    if (rope.scaling == RopeScaling::kLlama3) frequency = Llama3Scale(rope, frequency);
    result.inv_freq.push_back(static_cast<float>(frequency));
  }
  return result;
}

double NtkAlpha(int64_t prompt_tokens, int64_t trained_positions) {
  const double ratio = static_cast<double>(prompt_tokens) / static_cast<double>(trained_positions);
  return std::max(std::exp2(std::ceil(std::log2(ratio) + 1.0)) - 1.0, 1.0);
}

float LogNScale(int64_t position, int64_t trained_positions) {
  if (position < trained_positions) return 1.0f;
  return static_cast<float>(std::log(static_cast<double>(position + 1)) /
                            std::log(static_cast<double>(trained_positions)));
}

}  // namespace oneai::models
