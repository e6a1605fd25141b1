// Takes the two halves of each pair in the cache apart, 16 pairs at a time. Include only from files
// that are compiled for AVX-512.
#pragma once

#include <cstddef>

#include "kernels/cpu/simd_avx512.h"

namespace oneai::kernels {

struct SplitAvx512 : Avx512 {
  static constexpr int kNumRegisters = 32;

  static inline __attribute__((always_inline)) void Bf16(const std::byte* p, Reg& even, Reg& odd) {
    const __m512i pairs = _mm512_loadu_si512(p);
    even = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
    odd = _mm512_castsi512_ps(
        _mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
  }
  static inline __attribute__((always_inline)) void Int8(const std::byte* p, Reg& even, Reg& odd) {
    const __m512i pairs =
        _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    even = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(pairs, 24), 24));
    odd = _mm512_cvtepi32_ps(_mm512_srai_epi32(pairs, 8));
  }
  static inline __attribute__((always_inline)) void F32(const std::byte* p, Reg& even, Reg& odd) {
    const __m512 a = _mm512_loadu_ps(p), b = _mm512_loadu_ps(p + 64);
    const __m512i evens =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    even = _mm512_permutex2var_ps(a, evens, b);
    odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(evens, _mm512_set1_epi32(1)), b);
  }
};

}  // namespace oneai::kernels
