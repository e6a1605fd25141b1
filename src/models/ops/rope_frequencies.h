// File: models/ops/rope_frequencies.h
//
// The angles of rotary position embedding, shared by every Ops so that training and serving rotate
// alike.
#pragma once

#include <vector>

#include "models/config/model_config.h"

namespace oneai::models {

// inv_freq [head_dim / 2]: the angle of dimension pair i at position p is p * inv_freq[i] (computed
// in float32, as Hugging Face models do). cos and sin are multiplied by attention_factor.
struct RopeFrequencies {
  std::vector<float> inv_freq;
  float attention_factor = 1.0f;
};

// Plain: theta^(-2i/head_dim). YaRN: dimensions that turn fewer than beta_slow times within the
// original context are slowed by the factor, those that turn more than beta_fast times stay, a
// linear ramp lies between. It is static: short inputs are rotated the same way. Source:
// arXiv:2104.09864; arXiv:2309.00071 section 3.2, with the ramp's bounds clipped as in
// transformers' modeling_rope_utils.py.
RopeFrequencies ComputeRopeFrequencies(const RopeConfig& rope, int64_t head_dim);

}  // namespace oneai::models
