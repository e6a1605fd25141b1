#include <immintrin.h>

#include "benchmarks/kernels/machine_peaks.h"

namespace oneai::kernels {

double PeakLoopAvx2F32(long iterations) {
  constexpr int kSums = 12;  // enough to cover the latency of two units, and no spilling
  __m256 sum[kSums] = {};
  const __m256 x = _mm256_set1_ps(1e-9f);
  for (long i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (int s = 0; s < kSums; ++s) {
      __asm__ volatile("vfmadd231ps %1, %1, %0" : "+x"(sum[s]) : "x"(x));
    }
  }
  return 2.0 * 8 * kSums * static_cast<double>(iterations);
}

}  // namespace oneai::kernels
