// RMSNorm of every head, then a SiLU gate. Source: Hugging Face transformers,
// modeling_qwen3_next.py (Qwen3NextRMSNormGated: the norm comes before the gate).
#pragma once

#include <cstdint>

#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

// y = x / sqrt(mean(x^2) + epsilon) * weight * silu(z), per token and head of `dim` elements.
//   x, y    [num_tokens, num_heads, dim] float32, tokens `x_stride`, `y_stride` apart, heads
//   without
//           gaps; y may be x
//   z       likewise, tokens `z_stride` apart
//   weight  [dim] float32, shared by the heads
struct GatedRmsNormArgs {
  const float* x = nullptr;
  int64_t x_stride = 0;
  const float* z = nullptr;
  int64_t z_stride = 0;
  const float* weight = nullptr;
  float* y = nullptr;
  int64_t y_stride = 0;
  int64_t num_tokens = 0;
  int64_t num_heads = 0;
  int64_t dim = 0;
  float epsilon = 1e-6f;
};

// Float32 sums in a fixed order per head (batch-invariant). No tokens: no-op.
void GatedRmsNorm(const GatedRmsNormArgs& args, KernelContext& ctx);

}  // namespace oneai::kernels
