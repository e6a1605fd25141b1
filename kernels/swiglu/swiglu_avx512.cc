#include "kernels/cpu/simd_avx512.h"
#include "kernels/swiglu/swiglu_simd.h"
#include "kernels/swiglu/swiglu_variants.h"

namespace oneai::kernels {

void SwigluAvx512(const SwigluArgs& args, int64_t row_begin, int64_t row_end) {
  SwigluRows<Avx512>::Run(args, row_begin, row_end);
}

}  // namespace oneai::kernels
