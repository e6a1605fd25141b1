// The branch-free integer form of ToBFloat16, which compilers turn into vectors of any width.
#include "kernels/gemm/round_rows.h"

#include <algorithm>

namespace oneai::kernels {

void RoundRows(const float* x, int64_t x_stride, int64_t k, int64_t padded_k, int64_t row_begin,
               int64_t row_end, BFloat16* out) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    const float* in = x + row * x_stride;
    BFloat16* to = out + row * padded_k;
    for (int64_t i = 0; i < k; ++i) to[i] = ToBFloat16(in[i]);
    std::fill(to + k, to + padded_k, BFloat16{0});
  }
}

}  // namespace oneai::kernels
