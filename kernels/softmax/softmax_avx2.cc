#include "kernels/cpu/simd_avx2.h"
#include "kernels/softmax/softmax_simd.h"
#include "kernels/softmax/softmax_variants.h"

namespace oneai::kernels {

float LogSumExpAvx2(const float* row, int64_t vocab) { return LogSumExpRow<Avx2>::Run(row, vocab); }

}  // namespace oneai::kernels
