#include "kernels/cpu/simd_avx2.h"
#include "kernels/moe/sigmoid_gate_simd.h"

namespace oneai::kernels {

void SigmoidGateAvx2(const SigmoidGateArgs& args, int64_t row_begin, int64_t row_end) {
  SigmoidGateRows<Avx2>::Run(args, row_begin, row_end);
}

}  // namespace oneai::kernels
