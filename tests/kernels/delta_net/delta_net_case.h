// A ragged batch of DeltaNet inputs for tests, and running it in pieces.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/delta_net/delta_net_variants.h"
#include "tests/kernels/random_tensor.h"

namespace oneai::kernels {

// Runs `check` for every variant this processor has.
template <typename Check>
void ForEachDeltaNetVariant(Check check) {
  for (const Variant<DeltaNetFns>& variant : DeltaNetVariants()) {
    if (!variant.is_supported(GetCpuInfo().features)) continue;
    SCOPED_TRACE(std::string(variant.name));
    check(variant.fn);
  }
}

struct DeltaShape {
  int64_t key_heads, value_heads, key_dim, value_dim;

  int64_t keys() const { return key_heads * key_dim; }
  int64_t values() const { return value_heads * value_dim; }
  int64_t channels() const { return 2 * keys() + values(); }
  int64_t state() const { return value_heads * key_dim * value_dim; }
};

// Inputs of sequences of the given lengths, one after the other, and a state per sequence in slots
// that are neither in order nor without gaps. Rows and slots have padding that must stay as it is.
struct DeltaCase {
  static constexpr int64_t kPad = 3;
  static constexpr float kUntouched = 77.0f;

  DeltaCase(const DeltaShape& s, const std::vector<int64_t>& lengths, uint64_t seed) : shape(s) {
    for (const int64_t n : lengths) seq_start.push_back(seq_start.back() + static_cast<int32_t>(n));
    const auto count = static_cast<int32_t>(lengths.size());
    for (int32_t i = 0; i < count; ++i) {
      slot.push_back(2 * (count - i) - 1);
      runs.push_back({seq_start[i], seq_start[i + 1], slot[i], slot[i]});
    }
    mixed = RandomFloats(num_tokens() * mixed_stride() + 1, seed);
    g = RandomFloats(num_tokens() * s.value_heads, seed + 1);
    for (float& x : g) x = x > 1.0f ? -30.0f * x : -0.2f * std::abs(x);
    beta = RandomFloats(num_tokens() * s.value_heads, seed + 2);
    for (float& x : beta) x = 1.0f / (1.0f + std::exp(-x));
    state = RandomFloats((2 * count) * slot_stride(), seed + 3, 0.3f);
    out.assign(num_tokens() * out_stride(), kUntouched);
  }

  int64_t num_tokens() const { return seq_start.back(); }
  int64_t num_sequences() const { return static_cast<int64_t>(slot.size()); }
  int64_t mixed_stride() const { return shape.channels() + kPad; }
  int64_t out_stride() const { return shape.values() + kPad; }
  int64_t slot_stride() const { return shape.state() + kPad; }

  DeltaRuleArgs args() {
    float* q = mixed.data() + 1;  // misaligned
    return {.q = q,
            .k = q + shape.keys(),
            .v = q + 2 * shape.keys(),
            .token_stride = mixed_stride(),
            .g = g.data(),
            .beta = beta.data(),
            .out = out.data(),
            .out_stride = out_stride(),
            .runs = runs.data(),
            .num_runs = num_sequences(),
            .state = state.data(),
            .slot_stride = slot_stride(),
            .num_key_heads = shape.key_heads,
            .num_value_heads = shape.value_heads,
            .key_dim = shape.key_dim,
            .value_dim = shape.value_dim};
  }

  DeltaShape shape;
  std::vector<int32_t> seq_start{0}, slot;
  std::vector<RecurrentRun> runs;
  std::vector<float> mixed, g, beta, state, out;
};

}  // namespace oneai::kernels
