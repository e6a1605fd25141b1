#include <immintrin.h>

#include "benchmarks/kernels/machine_peaks.h"

namespace oneai::kernels {

double PeakLoopAvx2F32(long iterations) {
  constexpr int kSums = 12;  // enough to cover the latency of two units
  __m256 sum[kSums] = {};
  __m256 a = _mm256_set1_ps(1e-9f);
  __m256 b = _mm256_set1_ps(1e-9f);
  // Opaque starting values: equal sums would be computed once.
  for (int s = 0; s < kSums; ++s) __asm__ volatile("" : "+x"(sum[s]));
  for (long i = 0; i < iterations; ++i) {
    __asm__ volatile("" : "+x"(a), "+x"(b));
    for (int s = 0; s < kSums; ++s) sum[s] = _mm256_fmadd_ps(a, b, sum[s]);
  }
  for (int s = 0; s < kSums; ++s) __asm__ volatile("" : : "x"(sum[s]));
  return 2.0 * 8 * kSums * static_cast<double>(iterations);
}

}  // namespace oneai::kernels
