#include "kernels/cpu/simd_avx512.h"
#include "kernels/moe/sigmoid_gate_simd.h"

namespace oneai::kernels {

void SigmoidGateAvx512(const SigmoidGateArgs& args, int64_t row_begin, int64_t row_end) {
  SigmoidGateRows<Avx512>::Run(args, row_begin, row_end);
}

}  // namespace oneai::kernels
