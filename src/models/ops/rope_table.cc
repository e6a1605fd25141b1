#include "models/ops/rope_table.h"

#include "kernels/rope/rope.h"

namespace oneai::models {

RopeTable::RopeTable(const ModelConfig& config)
    : config_(config), rotary_dim_(config.rotary_dim()) {
  ForAlpha(1.0);
}

const RopeFrequencies& RopeTable::ForAlpha(double alpha) {
  for (const Frequencies& known : frequencies_) {
    if (known.alpha == alpha) return known.rope;
  }
  frequencies_.push_back({alpha, ComputeRopeFrequencies(config_.rope, rotary_dim_, alpha)});
  return frequencies_.back().rope;
}

void RopeTable::Compute(absl::Span<const int32_t> positions, absl::Span<const int32_t> seq_start,
                        absl::Span<const int64_t> prompt_tokens) {
  const int64_t half = rotary_dim_ / 2, num_tokens = static_cast<int64_t>(positions.size());
  if (static_cast<int64_t>(cos_.size()) < num_tokens * half) {
    cos_.resize(num_tokens * half);
    sin_.resize(num_tokens * half);
  }
  auto compute = [&](int64_t begin, int64_t end, const RopeFrequencies& rope) {
    kernels::RopeCosSin(positions.data() + begin, end - begin, rope.inv_freq.data(), rotary_dim_,
                        rope.attention_factor, cos_.data() + begin * half,
                        sin_.data() + begin * half);
  };
  if (config_.rope.dynamic_ntk) {
    for (size_t s = 0; s < prompt_tokens.size(); ++s)
      compute(seq_start[s], seq_start[s + 1],
              ForAlpha(NtkAlpha(prompt_tokens[s], config_.trained_positions)));
  } else {
    compute(0, num_tokens, frequencies_[0].rope);
  }
  if (!config_.log_n_attention) return;
  query_scales_.resize(num_tokens);
  for (int64_t t = 0; t < num_tokens; ++t)
    query_scales_[t] = LogNScale(positions[t], config_.trained_positions);
}

}  // namespace oneai::models
