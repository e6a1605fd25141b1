// 16 float32 lanes of AVX-512, for kernels that are written once over a vector type. Include only
// from files that are compiled for it.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace oneai::kernels {

struct Avx512 {
  using Reg = __m512;
  static constexpr int64_t kLanes = 16;

#define ONEAI_SIMD static inline __attribute__((always_inline))
  ONEAI_SIMD Reg Set(float x) { return _mm512_set1_ps(x); }
  ONEAI_SIMD Reg Load(const float* p) { return _mm512_loadu_ps(p); }
  ONEAI_SIMD void Store(float* p, Reg x) { _mm512_storeu_ps(p, x); }
  // The first `count` < kLanes lanes; the others are `fill` and not read.
  ONEAI_SIMD Reg LoadPart(const float* p, int64_t count, float fill) {
    return _mm512_mask_loadu_ps(Set(fill), Mask(count), p);
  }
  ONEAI_SIMD void StorePart(float* p, int64_t count, Reg x) {
    _mm512_mask_storeu_ps(p, Mask(count), x);
  }
  ONEAI_SIMD Reg LoadBf16(const uint16_t* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  ONEAI_SIMD Reg Add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  ONEAI_SIMD Reg Sub(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
  ONEAI_SIMD Reg Mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  ONEAI_SIMD Reg Div(Reg a, Reg b) { return _mm512_div_ps(a, b); }
  // a * b + c and c - a * b, rounded once.
  ONEAI_SIMD Reg MulAdd(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  ONEAI_SIMD Reg NegMulAdd(Reg a, Reg b, Reg c) { return _mm512_fnmadd_ps(a, b, c); }
  // b where a or b is NaN, as the instruction has it.
  ONEAI_SIMD Reg Max(Reg a, Reg b) { return _mm512_max_ps(a, b); }
  ONEAI_SIMD Reg Min(Reg a, Reg b) { return _mm512_min_ps(a, b); }
  ONEAI_SIMD Reg Round(Reg a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // a * 2^n for integral n, with gradual underflow.
  ONEAI_SIMD Reg ScaleByPowerOf2(Reg a, Reg n) { return _mm512_scalef_ps(a, n); }
  ONEAI_SIMD float SumLanes(Reg x) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
  }
  ONEAI_SIMD float MaxLanes(Reg x) {
    const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 pair = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)));
  }
  // Lane i of the result is the sum of the lanes of x[i]: 15 additions instead of 16 times 4.
  ONEAI_SIMD Reg SumEach(const Reg (&x)[16]) {
    Reg u[4];  // per 128 bits, 4 partial sums of 4 registers
    for (int i = 0; i < 4; ++i) {
      const Reg a = AddHalves32(x[4 * i], x[4 * i + 1]),
                b = AddHalves32(x[4 * i + 2], x[4 * i + 3]);
      const __m512d ad = _mm512_castps_pd(a), bd = _mm512_castps_pd(b);
      u[i] = Add(_mm512_castpd_ps(_mm512_unpacklo_pd(ad, bd)),
                 _mm512_castpd_ps(_mm512_unpackhi_pd(ad, bd)));
    }
    return AddHalves128(AddHalves128(u[0], u[1]), AddHalves128(u[2], u[3]));
  }

 private:
  ONEAI_SIMD Reg AddHalves32(Reg a, Reg b) {
    return Add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  }
  ONEAI_SIMD Reg AddHalves128(Reg a, Reg b) {
    return Add(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  }
  ONEAI_SIMD __mmask16 Mask(int64_t count) { return static_cast<__mmask16>((1u << count) - 1u); }
#undef ONEAI_SIMD
};

}  // namespace oneai::kernels
