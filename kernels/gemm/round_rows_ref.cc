// Defines "correct": ToBFloat16() per element.
#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {

void RoundRowsRef(const RoundRowsArgs& args, int64_t row_begin, int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    const RoundedRow to = LocateRoundedRow(row, args.m, args.padded_k);
    for (int64_t k = 0; k < args.padded_k; ++k) {
      const BFloat16 x = k < args.k ? ToBFloat16(args.x[row * args.x_stride + k]) : BFloat16{0};
      args.out[to.first + k / kDepthStep * to.step + k % kDepthStep] = x;
    }
  }
}

}  // namespace oneai::kernels
