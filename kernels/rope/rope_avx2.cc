#include "kernels/cpu/simd_avx2.h"
#include "kernels/rope/rope_simd.h"
#include "kernels/rope/rope_variants.h"

namespace oneai::kernels {

void RopeAvx2(const RopeArgs& args, int64_t token_begin, int64_t token_end) {
  RopeTokens<Avx2>::Run(args, token_begin, token_end);
}

}  // namespace oneai::kernels
