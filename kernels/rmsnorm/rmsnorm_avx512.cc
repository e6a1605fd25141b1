#include "kernels/cpu/simd_avx512.h"
#include "kernels/rmsnorm/rmsnorm_simd.h"
#include "kernels/rmsnorm/rmsnorm_variants.h"

namespace oneai::kernels {

void RmsNormAvx512(const RmsNormArgs& args, float* residual, const float* delta,
                   int64_t delta_stride, int64_t row_begin, int64_t row_end) {
  RmsNormRows<Avx512>::Run(args, residual, delta, delta_stride, row_begin, row_end);
}

}  // namespace oneai::kernels
