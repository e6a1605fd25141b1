// Rotary position embedding in the NeoX (rotate_half) arrangement. Source: arXiv:2104.09864; YaRN's
// attention factor: arXiv:2309.00071.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/cpu/variant.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

// Fills cos and sin [num_tokens, rotary_dim / 2] float32 once per step, for all layers and heads:
//   angle = float(position) * inv_freq[i] in float32 (as the Hugging Face models compute it),
//   cos = cos(angle) * attention_factor, sin = sin(angle) * attention_factor.
//   positions [num_tokens] int32, inv_freq [rotary_dim / 2] float32.
void RopeCosSin(const int32_t* positions, int64_t num_tokens, const float* inv_freq,
                int64_t rotary_dim, float attention_factor, float* cos, float* sin);

//   x         [num_tokens, num_heads, head_dim] float32, rotated in place; tokens `token_stride`
//   and
//             heads `head_stride` elements apart
//   cos, sin  [num_tokens, rotary_dim / 2] float32
// Elements rotary_dim .. head_dim of every head stay as they are (partial rotary).
struct RopeArgs {
  float* x = nullptr;
  int64_t token_stride = 0;
  int64_t head_stride = 0;
  int64_t num_tokens = 0;
  int64_t num_heads = 0;
  int64_t rotary_dim = 0;  // even, <= head_dim
  const float* cos = nullptr;
  const float* sin = nullptr;
};

// For i < rotary_dim / 2, with a = x[i], b = x[i + rotary_dim / 2]:
//   x[i] = a cos[i] - b sin[i],  x[i + rotary_dim / 2] = b cos[i] + a sin[i].
void Rope(const RopeArgs& args, KernelContext& ctx);

// One thread's tokens.
using RopeFn = void (*)(const RopeArgs& args, int64_t token_begin, int64_t token_end);
absl::Span<const Variant<RopeFn>> RopeVariants();

}  // namespace oneai::kernels
