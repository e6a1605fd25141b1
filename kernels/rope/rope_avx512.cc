#include "kernels/cpu/simd_avx512.h"
#include "kernels/rope/rope_simd.h"
#include "kernels/rope/rope_variants.h"

namespace oneai::kernels {

void RopeAvx512(const RopeArgs& args, int64_t token_begin, int64_t token_end) {
  RopeTokens<Avx512>::Run(args, token_begin, token_end);
}

}  // namespace oneai::kernels
