// Takes the two halves of each pair in the cache apart, 8 pairs at a time. Include only from files
// that are compiled for AVX2.
#pragma once

#include <cstddef>

#include "kernels/cpu/simd_avx2.h"

namespace oneai::kernels {

struct SplitAvx2 : Avx2 {
  static constexpr int kNumRegisters = 16;

  static inline __attribute__((always_inline)) void Bf16(const std::byte* p, Reg& even, Reg& odd) {
    const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    even = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
    odd = _mm256_castsi256_ps(
        _mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
  }
  static inline __attribute__((always_inline)) void Int8(const std::byte* p, Reg& even, Reg& odd) {
    const __m256i pairs =
        _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    even = _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(pairs, 24), 24));
    odd = _mm256_cvtepi32_ps(_mm256_srai_epi32(pairs, 8));
  }
  static inline __attribute__((always_inline)) void F32(const std::byte* p, Reg& even, Reg& odd) {
    const __m256 a = _mm256_loadu_ps(reinterpret_cast<const float*>(p));
    const __m256 b = _mm256_loadu_ps(reinterpret_cast<const float*>(p) + 8);
    even = InOrder(_mm256_shuffle_ps(a, b, 0x88));
    odd = InOrder(_mm256_shuffle_ps(a, b, 0xdd));
  }

 private:
  static inline __attribute__((always_inline)) Reg InOrder(Reg x) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), 0xd8));
  }
};

}  // namespace oneai::kernels
