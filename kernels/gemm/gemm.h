// y = x W^T + bias, with W packed once.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/cpu/bfloat16.h"
#include "kernels/cpu/variant.h"
#include "kernels/gemm/packed_matrix.h"
#include "kernels/gemm/quantize_rows.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

//   x     [m, K] float32, rows `x_stride` elements apart
//   w     [N, K] packed (outputs x inputs, the layout of a Hugging Face linear weight)
//   bias  [N] float32, or null
//   y     [m, N] float32, rows `y_stride` elements apart; may not overlap x
struct GemmArgs {
  const float* x = nullptr;
  int64_t x_stride = 0;
  const PackedMatrix* w = nullptr;
  const float* bias = nullptr;
  float* y = nullptr;
  int64_t y_stride = 0;
  int64_t m = 0;
};

// Computes y = x w^T + bias. m = 0: no-op.
//   float32 weights   everything is float32
//   bf16 weights      x is rounded to bf16 once (nearest even), products are accumulated in float32
//   integer weights   x is quantised to 8 bits by row, and by group where the weights have groups
//                     (quantize_rows.h); products are summed exactly in int32 per group and scaled
//                     in float32, groups in order: with t = float(sum of codes' products) *
//                     x_scale, y = fma(t, w_scale, y), then y = fma(w_offset, x_scale * sum of x
//                     codes, y). A row of x with an infinity or a NaN gives NaNs, as far as its
//                     groups reach.
//
// Batch-invariant: a row of y has the same bits whatever m, the row's place in x and the number of
// threads are, because the order of accumulation over K is fixed per variant. With integer weights
// all variants give the same bits.
// Cost: m = 1 is bound by reading w once; large m by the matrix unit. Uses ctx's scratch.
void Gemm(const GemmArgs& args, KernelContext& ctx);

// Gemm() of each of `all`, with the same bits, in two parallel loops for all of them instead of two
// each: for products too small to occupy every thread, as those of experts are. No y may overlap
// another's, nor any x. Neighbours with the same x, x_stride and m have it rounded once.
void GemmAll(absl::Span<const GemmArgs> all, KernelContext& ctx);

// Inside a variant: the slice of the work that one thread does. With bf16 weights `x` holds all m
// rows rounded and ordered as in round_rows.h, with integer weights `codes` holds them quantised;
// with float32 weights `x` is the caller's.
struct GemmTask {
  const void* x;
  CodeRows codes;
  int64_t x_stride;  // float32 only
  int64_t m;
  const PackedMatrix* w;
  const float* bias;
  float* y;
  int64_t y_stride;
  int64_t row_begin, row_end;      // rows of x and y; row_begin is a multiple of 16
  int64_t panel_begin, panel_end;  // panels of w, see packed_matrix.h
};
using GemmFn = void (*)(const GemmTask& task);

// The dispatch table for weights of `format`, from reference to fastest.
absl::Span<const Variant<GemmFn>> GemmVariants(WeightFormat format);
inline absl::Span<const Variant<GemmFn>> GemmVariants(Dtype dtype) {
  return GemmVariants(FormatOf(dtype));
}

// Gemm() by one given variant, for tests and benchmarks.
void GemmWith(const Variant<GemmFn>& variant, const GemmArgs& args, KernelContext& ctx);

}  // namespace oneai::kernels
