#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/simd_exp.h"
#include "tests/kernels/cpu/exp_rows.h"

namespace oneai::kernels {

void ExpRowAvx512(const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; i += Avx512::kLanes)
    Avx512::Store(y + i, Exp<Avx512>(Avx512::Load(x + i)));
}

}  // namespace oneai::kernels
