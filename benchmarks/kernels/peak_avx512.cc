#include <immintrin.h>

#include "benchmarks/kernels/machine_peaks.h"

namespace oneai::kernels {
namespace {

// 24 accumulators cover the latency of two units (at most 6 cycles each) twice over and leave
// registers for the operands. Assembly, because a compiler may merge equal sums, hoist a product of
// constants or spill (GCC 12 does, and then stores are measured).
constexpr int kSums = 24;

template <class Step>
double RunLoop(long iterations, double operations, __m512i operand, Step step) {
  __m512i sum[kSums] = {};
  for (long i = 0; i < iterations; ++i) {
#pragma GCC unroll 24
    for (int s = 0; s < kSums; ++s) step(sum[s], operand);
  }
  return operations * kSums * static_cast<double>(iterations);
}

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Iterations of RunLoop's length take about as long here: a tile product is 16 cycles.
constexpr long kTileShare = 8;

}  // namespace

double PeakLoopAvx512F32(long iterations) {
  const auto step = [](__m512i & sum, __m512i x) __attribute__((always_inline)) {
    __asm__ volatile("vfmadd231ps %1, %1, %0" : "+v"(sum) : "v"(x));
  };
  return RunLoop(iterations, 2.0 * 16, _mm512_castps_si512(_mm512_set1_ps(1e-9f)), step);
}

double PeakLoopAvx512Bf16(long iterations) {
  const auto step = [](__m512i & sum, __m512i x) __attribute__((always_inline)) {
    __asm__ volatile("vdpbf16ps %1, %1, %0" : "+v"(sum) : "v"(x));
  };
  // bf16 1e-10: the products stay normal numbers.
  return RunLoop(iterations, 2.0 * 32, _mm512_set1_epi32(0x2f002f00), step);
}

double PeakLoopAvx512Vnni(long iterations) {
  const auto step = [](__m512i & sum, __m512i x) __attribute__((always_inline)) {
    __asm__ volatile("vpdpbusd %1, %1, %0" : "+v"(sum) : "v"(x));
  };
  return RunLoop(iterations, 2.0 * 64, _mm512_set1_epi32(0x01010101), step);
}

// Four accumulator tiles, as the kernels have them: one product takes 16 cycles and its result 52,
// so four in turn keep the unit busy.
double PeakLoopAmxBf16(long iterations) {
  const TileConfig config;
  __asm__ volatile("ldtilecfg %0" : : "m"(config));
  iterations /= kTileShare;
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

double PeakLoopAmxInt8(long iterations) {
  const TileConfig config;
  __asm__ volatile("ldtilecfg %0" : : "m"(config));
  iterations /= kTileShare;
  for (long i = 0; i < iterations; ++i) {
    __asm__ volatile(
        "tdpbssd %%tmm6, %%tmm4, %%tmm0\n\ttdpbssd %%tmm7, %%tmm4, %%tmm1\n\t"
        "tdpbssd %%tmm6, %%tmm5, %%tmm2\n\ttdpbssd %%tmm7, %%tmm5, %%tmm3"
        :
        :);
  }
  __asm__ volatile("tilerelease" : :);
  return 2.0 * 16 * 16 * 64 * 4 * static_cast<double>(iterations);
}

}  // namespace oneai::kernels
