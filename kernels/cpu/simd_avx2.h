// 8 float32 lanes of AVX2 with the interface of simd_avx512.h. Include only from files that are
// compiled for it.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace oneai::kernels {

struct Avx2 {
  using Reg = __m256;
  static constexpr int64_t kLanes = 8;

#define ONEAI_SIMD static inline __attribute__((always_inline))
  ONEAI_SIMD Reg Set(float x) { return _mm256_set1_ps(x); }
  ONEAI_SIMD Reg Load(const float* p) { return _mm256_loadu_ps(p); }
  ONEAI_SIMD void Store(float* p, Reg x) { _mm256_storeu_ps(p, x); }
  ONEAI_SIMD Reg LoadPart(const float* p, int64_t count, float fill) {
    const __m256i mask = Mask(count);
    return _mm256_blendv_ps(Set(fill), _mm256_maskload_ps(p, mask), _mm256_castsi256_ps(mask));
  }
  ONEAI_SIMD void StorePart(float* p, int64_t count, Reg x) {
    _mm256_maskstore_ps(p, Mask(count), x);
  }
  ONEAI_SIMD Reg LoadBf16(const uint16_t* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  ONEAI_SIMD Reg Add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
  ONEAI_SIMD Reg Sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
  ONEAI_SIMD Reg Mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
  ONEAI_SIMD Reg Div(Reg a, Reg b) { return _mm256_div_ps(a, b); }
  ONEAI_SIMD Reg MulAdd(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }
  ONEAI_SIMD Reg NegMulAdd(Reg a, Reg b, Reg c) { return _mm256_fnmadd_ps(a, b, c); }
  ONEAI_SIMD Reg Max(Reg a, Reg b) { return _mm256_max_ps(a, b); }
  ONEAI_SIMD Reg Min(Reg a, Reg b) { return _mm256_min_ps(a, b); }
  ONEAI_SIMD Reg Round(Reg a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // In two steps, because 2^n itself is no float where the product still is one (or is a denormal).
  ONEAI_SIMD Reg ScaleByPowerOf2(Reg a, Reg n) {
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i first = _mm256_srai_epi32(whole, 1);
    return Mul(Mul(a, PowerOf2(first)), PowerOf2(_mm256_sub_epi32(whole, first)));
  }
  ONEAI_SIMD float SumLanes(Reg x) {
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
  }
  ONEAI_SIMD float MaxLanes(Reg x) {
    const __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 pair = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)));
  }
  ONEAI_SIMD Reg SumEach(const Reg (&x)[8]) {
    Reg u[2];
    for (int i = 0; i < 2; ++i) {
      const Reg a = AddHalves32(x[4 * i], x[4 * i + 1]),
                b = AddHalves32(x[4 * i + 2], x[4 * i + 3]);
      const __m256d ad = _mm256_castps_pd(a), bd = _mm256_castps_pd(b);
      u[i] = Add(_mm256_castpd_ps(_mm256_unpacklo_pd(ad, bd)),
                 _mm256_castpd_ps(_mm256_unpackhi_pd(ad, bd)));
    }
    return Add(_mm256_permute2f128_ps(u[0], u[1], 0x20), _mm256_permute2f128_ps(u[0], u[1], 0x31));
  }

 private:
  ONEAI_SIMD Reg AddHalves32(Reg a, Reg b) {
    return Add(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
  }
  ONEAI_SIMD __m256i Mask(int64_t count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane);
  }
  ONEAI_SIMD Reg PowerOf2(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
#undef ONEAI_SIMD
};

}  // namespace oneai::kernels
