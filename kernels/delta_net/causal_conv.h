// Causal depthwise convolution over time, with SiLU, for ragged batches. Source: arXiv:2412.06464.
#pragma once

#include <cstdint>

#include "kernels/delta_net/recurrent_state_view.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

inline constexpr int64_t kConvKernelMax = 8;

// x[t][c] = silu(sum_j weight[j][c] * x[t - (kernel_size - 1) + j][c]) within each run, in place.
//   x       [num_tokens, channels] float32, rows `x_stride` apart; read, then overwritten
//   weight  [kernel_size, channels] float32; the last row multiplies the token itself
//   tail    slot s at tail + s * slot_stride: [kernel_size - 1, channels] float32, the inputs
//   before
//           a run's first token, oldest first; the run's slot `to` receives those before the token
//           that will follow
// 1 <= kernel_size <= kConvKernelMax.
struct CausalConvArgs {
  float* x = nullptr;
  int64_t x_stride = 0;
  const float* weight = nullptr;
  int64_t channels = 0;
  int64_t kernel_size = 0;
  const RecurrentRun* runs = nullptr;
  int64_t num_runs = 0;
  float* tail = nullptr;
  int64_t slot_stride = 0;
};

// A token's result depends on its own and the kernel_size - 1 inputs before it, in a fixed order
// (batch-invariant, also under any chunking). No runs: no-op.
void CausalConvSilu(const CausalConvArgs& args, KernelContext& ctx);

}  // namespace oneai::kernels
