// The unit of vdpbf16ps: multiplies pairs of bf16, sums in float32. A bf16 cache is read in place;
// int8 widens to bf16 exactly. Include only from files that are compiled for AVX-512 BF16 and VBMI.
// Source: Intel SDM, VDPBF16PS, VCVTNEPS2BF16.
#pragma once

#include <array>
#include <bit>

#include "kernels/attention/attention_loops.h"
#include "kernels/attention/kv_cache_view.h"
#include "kernels/cpu/simd_avx512.h"

namespace oneai::kernels {

struct Bf16Unit {
  using V = Avx512;
  using Reg = __m512;
  static constexpr int64_t kLanes = 16;
  static constexpr int kNumRegisters = 32;
  static constexpr int64_t kPack = 2;
  static constexpr int64_t kRowPack = 2;
  static constexpr int64_t kSubTileStep = 1;
  static constexpr bool kProductAsks = true;

#define ONEAI_UNIT static inline __attribute__((always_inline))
  ONEAI_UNIT Reg Zero() { return _mm512_setzero_ps(); }
  ONEAI_UNIT Reg Load(const Word* p) { return _mm512_loadu_ps(p); }
  ONEAI_UNIT Reg LoadFloats(const float* p) { return _mm512_loadu_ps(p); }
  ONEAI_UNIT void Store(float* p, Reg x) { _mm512_storeu_ps(p, x); }
  ONEAI_UNIT Reg Broadcast(const Word* p) {
    return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(*p)));
  }
  ONEAI_UNIT Reg Dot(Reg a, Reg b, Reg c) {
    return _mm512_dpbf16_ps(c, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }

  // Without scales the total is that of the rounded weights, so that equal values come out exact.
  ONEAI_UNIT void PutWeights(const Reg* weight, const float* scale, Reg& total, Word* words) {
    Reg x = weight[0];
    if (scale != nullptr) {
      total = _mm512_add_ps(total, x);
      x = _mm512_mul_ps(x, _mm512_loadu_ps(scale));
    }
    const __m256bh pairs = _mm512_cvtneps_pbh(x);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), reinterpret_cast<__m256i>(pairs));
    if (scale == nullptr) {
      const __m256bh ones = reinterpret_cast<__m256bh>(_mm256_set1_epi32(0x3f803f80));
      total = _mm512_zextps256_ps512(_mm256_dpbf16_ps(_mm512_castps512_ps256(total), pairs, ones));
    }
  }
#undef ONEAI_UNIT

  static void PackQuery(const float* q, int64_t head_dim, int64_t dim, Word* words) {
    for (int64_t i = 0; i < dim; i += kLanes) {
      const int64_t left = head_dim - i;
      const __mmask16 mask = left >= 16  ? 0xffff
                             : left <= 0 ? 0
                                         : static_cast<__mmask16>((1u << left) - 1u);
      const __m256bh pairs = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, q + i));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + i / 2),
                          reinterpret_cast<__m256i>(pairs));
    }
  }

  static void Put(float x, int64_t index, Word* words) {
    reinterpret_cast<uint16_t*>(words)[index] = ToBFloat16(x).bits;
  }

  template <bool kKeys>
  static const Word* Expand(KvCacheFormat format, const std::byte* from, const std::byte*,
                            int64_t dim, Word* to) {
    if (format == KvCacheFormat::kBf16) return reinterpret_cast<const Word*>(from);
    WidenInt8(from, kSubTile * dim, to);
    return to;
  }

  static void Scores(const Word* q, int64_t rows, int64_t steps, const SubTiles& keys,
                     float* scores, int64_t score_stride) {
    AttentionLoops<Bf16Unit>::Scores(q, rows, steps, keys, scores, score_stride);
  }
  static void AddValues(const Word* weights, int64_t weight_stride, int64_t rows, int64_t dim,
                        const SubTiles& values, float* sums) {
    AttentionLoops<Bf16Unit>::AddValues(weights, weight_stride, rows, dim, values, sums);
  }

 private:
  // Byte `kByte` of bf16 0 .. 127; |int8| looks up both bytes, and the sign bit is the same in
  // both.
  template <int kByte>
  static constexpr std::array<uint8_t, 128> BytesOfBf16() {
    std::array<uint8_t, 128> bytes{};
    for (int i = 0; i < 128; ++i) {
      bytes[i] =
          static_cast<uint8_t>(std::bit_cast<uint32_t>(static_cast<float>(i)) >> (16 + 8 * kByte));
    }
    return bytes;
  }

  // `count` is a multiple of 64.
  static void WidenInt8(const std::byte* from, int64_t count, Word* to) {
    alignas(64) static constexpr std::array<uint8_t, 128> kLow = BytesOfBf16<0>();
    alignas(64) static constexpr std::array<uint8_t, 128> kHigh = BytesOfBf16<1>();
    const __m512i low0 = _mm512_load_si512(kLow.data()), low1 = _mm512_load_si512(&kLow[64]);
    const __m512i high0 = _mm512_load_si512(kHigh.data()), high1 = _mm512_load_si512(&kHigh[64]);
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
    // Interleaving works within 128 bits, so the quarters are laid out for it first.
    const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
    for (int64_t i = 0; i < count; i += 64) {
      const __m512i x = _mm512_permutexvar_epi64(order, _mm512_loadu_si512(from + i));
      const __m512i magnitude = _mm512_abs_epi8(x);
      const __m512i low = _mm512_permutex2var_epi8(low0, magnitude, low1);
      const __m512i high = _mm512_or_si512(_mm512_permutex2var_epi8(high0, magnitude, high1),
                                           _mm512_and_si512(x, sign));
      _mm512_storeu_si512(to + i / 2, _mm512_unpacklo_epi8(low, high));
      _mm512_storeu_si512(to + i / 2 + 16, _mm512_unpackhi_epi8(low, high));
    }
  }
};

}  // namespace oneai::kernels
