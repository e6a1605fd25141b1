// File: models/ops/rope_frequencies.h
//
// The angles of rotary position embedding, shared by every Ops so that training and serving rotate
// alike.
#pragma once

#include <cstdint>
#include <vector>

#include "models/config/model_config.h"

namespace oneai::models {

// inv_freq [rotary_dim / 2]: the angle of dimension pair i at position p is p * inv_freq[i]
// (computed in float32, as Hugging Face models do). cos and sin are multiplied by attention_factor.
struct RopeFrequencies {
  std::vector<float> inv_freq;
  float attention_factor = 1.0f;
};

// Plain: theta^(-2i/rotary_dim). YaRN: dimensions that turn fewer than beta_slow times within the
// original context are slowed by the factor, those that turn more than beta_fast times stay, a
// linear ramp lies between. Llama 3 does the same by wavelength. Both are static: short inputs are
// rotated the same way. `ntk_alpha` raises theta by alpha^(d / (d - 2)). Source: arXiv:2104.09864;
// arXiv:2309.00071 section 3.2, with the ramp's bounds clipped as in transformers'
// modeling_rope_utils.py, which also has Llama 3's.
RopeFrequencies ComputeRopeFrequencies(const RopeConfig& rope, int64_t rotary_dim,
                                       double ntk_alpha = 1.0);

// Dynamic NTK of Qwen-1: max(2^ceil(log2(prompt_tokens / trained_positions) + 1) - 1, 1). A prompt
// sets it, and it stays while the prompt is continued. Source: modeling_qwen.py of Qwen-7B.
double NtkAlpha(int64_t prompt_tokens, int64_t trained_positions);

// Log-n scale of the query at `position`: log(position + 1) / log(trained_positions), at least 1.
// Source: as above.
float LogNScale(int64_t position, int64_t trained_positions);

}  // namespace oneai::models
