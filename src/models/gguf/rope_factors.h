// File: models/gguf/rope_factors.h
//
// Llama 3.1's scaling of rotary frequencies: config.json says it in four numbers, GGUF as a tensor
// of one divisor a frequency. Source: transformers' _compute_llama3_parameters, llama.cpp's
// generate_extra_tensors (conversion/llama.py).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace oneai::models {

inline constexpr absl::string_view kRopeFactorsName = "rope_freqs.weight";

// rope_scaling of type "llama3". Wavelengths above original_positions / low_frequency_factor are
// slowed by `factor`, those below original_positions / high_frequency_factor kept.
struct Llama3Scaling {
  double factor = 8.0, low_frequency_factor = 1.0, high_frequency_factor = 4.0;
  double original_positions = 8192.0;
};

// The divisors, [head_dim / 2].
std::vector<float> RopeFactors(const Llama3Scaling& scaling, double theta, int64_t head_dim);

// A scaling that gives `factors` to 1e-5 of each; of the many (only ratios of the last three
// numbers count) one with low_frequency_factor 1. nullopt: there is none.
std::optional<Llama3Scaling> Llama3ScalingOf(absl::Span<const float> factors, double theta);

}  // namespace oneai::models
