// The gated unit of the feed-forward block. Source: arXiv:2002.05202.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/cpu/variant.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

// y = silu(gate) * up with silu(z) = z / (1 + exp(-z)), per element.
//   gate, up  [num_rows, dim] float32, rows `in_stride` elements apart (one fused gate_up matrix:
//   up =
//             gate + dim, in_stride = 2 * dim)
//   y         [num_rows, dim] float32, rows `out_stride` elements apart; may be gate
struct SwigluArgs {
  const float* gate = nullptr;
  const float* up = nullptr;
  int64_t in_stride = 0;
  float* y = nullptr;
  int64_t out_stride = 0;
  int64_t num_rows = 0;
  int64_t dim = 0;
};
void Swiglu(const SwigluArgs& args, KernelContext& ctx);

// One thread's rows.
using SwigluFn = void (*)(const SwigluArgs& args, int64_t row_begin, int64_t row_end);
absl::Span<const Variant<SwigluFn>> SwigluVariants();

}  // namespace oneai::kernels
