// Activations to bf16, once per Gemm().
#pragma once

#include <cstdint>

#include "kernels/cpu/bfloat16.h"

namespace oneai::kernels {

// out[r][i] = ToBFloat16(x[r][i]) for i < k, zero for k <= i < padded_k, rows [row_begin, row_end).
//   x [m, k] rows `x_stride` apart, out [m, padded_k] without gaps
void RoundRows(const float* x, int64_t x_stride, int64_t k, int64_t padded_k, int64_t row_begin,
               int64_t row_end, BFloat16* out);

}  // namespace oneai::kernels
