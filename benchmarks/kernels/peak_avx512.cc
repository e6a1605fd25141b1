#include <immintrin.h>

#include "benchmarks/kernels/machine_peaks.h"

namespace oneai::kernels {

double PeakLoopAvx512F32(long iterations) {
  constexpr int kSums = 24;  // opaque starting values below: equal sums would be computed once
  __m512 sum[kSums] = {};
  __m512 a = _mm512_set1_ps(1e-9f);
  __m512 b = _mm512_set1_ps(1e-9f);
  for (int s = 0; s < kSums; ++s) __asm__ volatile("" : "+v"(sum[s]));
  for (long i = 0; i < iterations; ++i) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
    for (int s = 0; s < kSums; ++s) sum[s] = _mm512_fmadd_ps(a, b, sum[s]);
  }
  for (int s = 0; s < kSums; ++s) __asm__ volatile("" : : "v"(sum[s]));
  return 2.0 * 16 * kSums * static_cast<double>(iterations);
}

double PeakLoopAvx512Bf16(long iterations) {
  constexpr int kSums = 24;
  __m512 sum[kSums] = {};
  __m512i a = _mm512_set1_epi32(0x2f002f00);
  __m512i b = _mm512_set1_epi32(0x2f002f00);
  for (int s = 0; s < kSums; ++s) __asm__ volatile("" : "+v"(sum[s]));
  for (long i = 0; i < iterations; ++i) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
    for (int s = 0; s < kSums; ++s) {
      sum[s] =
          _mm512_dpbf16_ps(sum[s], reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
    }
  }
  for (int s = 0; s < kSums; ++s) __asm__ volatile("" : : "v"(sum[s]));
  return 2.0 * 32 * kSums * static_cast<double>(iterations);
}

// Four accumulator tiles, as the kernel has them.
double PeakLoopAmxBf16(long iterations) {
  struct alignas(64) Config {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  __asm__ volatile("ldtilecfg %0" : : "m"(config));
  iterations /= 8;  // a tile product is 16 instructions' worth of work
  for (long i = 0; i < iterations; ++i) {
    __asm__ volatile(
        "tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\ttdpbf16ps %%tmm7, %%tmm4, %%tmm1\n\t"
        "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\ttdpbf16ps %%tmm7, %%tmm5, %%tmm3"
        :
        :);
  }
  __asm__ volatile("tilerelease" : :);
  return 2.0 * 16 * 16 * 32 * 4 * static_cast<double>(iterations);
}

}  // namespace oneai::kernels
