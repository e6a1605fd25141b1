// Gates of attention heads: y *= sigmoid(gate).
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/cpu/variant.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

//   gate  [num_rows, dim] float32, rows `gate_stride` elements apart
//   y     [num_rows, dim] float32, rows `y_stride` elements apart, in place
struct SigmoidGateArgs {
  const float* gate = nullptr;
  int64_t gate_stride = 0;
  float* y = nullptr;
  int64_t y_stride = 0;
  int64_t num_rows = 0;
  int64_t dim = 0;
};
void SigmoidGate(const SigmoidGateArgs& args, KernelContext& ctx);

// One thread's rows.
using SigmoidGateFn = void (*)(const SigmoidGateArgs& args, int64_t row_begin, int64_t row_end);
absl::Span<const Variant<SigmoidGateFn>> SigmoidGateVariants();

void SigmoidGateRef(const SigmoidGateArgs& args, int64_t row_begin, int64_t row_end);
void SigmoidGateAvx2(const SigmoidGateArgs& args, int64_t row_begin, int64_t row_end);
void SigmoidGateAvx512(const SigmoidGateArgs& args, int64_t row_begin, int64_t row_end);

}  // namespace oneai::kernels
