#include "kernels/cpu/simd_avx512.h"
#include "kernels/softmax/softmax_simd.h"
#include "kernels/softmax/softmax_variants.h"

namespace oneai::kernels {

float LogSumExpAvx512(const float* row, int64_t vocab) {
  return LogSumExpRow<Avx512>::Run(row, vocab);
}

}  // namespace oneai::kernels
