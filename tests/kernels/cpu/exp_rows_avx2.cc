#include "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/simd_exp.h"
#include "tests/kernels/cpu/exp_rows.h"

namespace oneai::kernels {

void ExpRowAvx2(const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; i += Avx2::kLanes) Avx2::Store(y + i, Exp<Avx2>(Avx2::Load(x + i)));
}

}  // namespace oneai::kernels
