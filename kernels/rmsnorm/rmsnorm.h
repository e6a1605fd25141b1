// Root mean square normalisation. Source: arXiv:1910.07467.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/cpu/variant.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

// y[r] = x[r] / sqrt(mean(x[r]^2) + epsilon) * weight, per row of `dim` elements.
//   x       [num_rows, dim] float32, rows `x_stride` elements apart
//   weight  [dim] float32
//   y       [num_rows, dim] float32, rows `y_stride` elements apart; may be x
// q/k norm over heads: one row per (token, head) with dim = head_dim.
struct RmsNormArgs {
  const float* x = nullptr;
  int64_t x_stride = 0;
  const float* weight = nullptr;
  float* y = nullptr;
  int64_t y_stride = 0;
  int64_t num_rows = 0;
  int64_t dim = 0;
  float epsilon = 1e-6f;
};

// Computes every row; float32 sums in a fixed order per row (batch-invariant). No rows: no-op.
void RmsNorm(const RmsNormArgs& args, KernelContext& ctx);

// x += delta, then y = RmsNorm(x), in one pass over memory: the residual stream's step.
//   x [num_rows, dim] is args.x and is written; delta [num_rows, dim], rows `delta_stride` apart.
void AddRmsNorm(float* x, const float* delta, int64_t delta_stride, const RmsNormArgs& args,
                KernelContext& ctx);

// One thread's rows. `residual` and `delta` are null unless x is to be updated first (x ==
// residual).
using RmsNormFn = void (*)(const RmsNormArgs& args, float* residual, const float* delta,
                           int64_t delta_stride, int64_t row_begin, int64_t row_end);
absl::Span<const Variant<RmsNormFn>> RmsNormVariants();

}  // namespace oneai::kernels
