// The unit of float32 multiply-adds that reads a bf16 cache in place: pairs are taken apart in
// registers (a shift, a mask) as they are multiplied, so that no tile is written and read again.
// Queries and weights stay float32, and sums take their terms in the order of FloatUnit: the bits
// are the same. Include only from files that are compiled for AVX2.
#pragma once

#include "kernels/attention/attention_float_unit.h"
#include "kernels/attention/split_avx2.h"

namespace oneai::kernels {

class PairUnitAvx2 : public FloatUnit<SplitAvx2> {
 public:
  static constexpr int64_t kPack = 2;
  static constexpr bool kProductAsks = true;

  static void Put(float x, int64_t index, Word* words) {
    reinterpret_cast<uint16_t*>(words)[index] = ToBFloat16(x).bits;  // exact: from a bf16 cache
  }

  template <bool kKeys>
  static const Word* Expand(KvCacheFormat, const std::byte* from, const std::byte*, int64_t,
                            Word*) {
    return reinterpret_cast<const Word*>(from);
  }

  static void Scores(const Word* q, int64_t rows, int64_t dim, const SubTiles& keys, float* scores,
                     int64_t score_stride) {
    ForEachRowBlock(
        rows, [&]<int kRows>(int64_t row) __attribute__((always_inline)) {
          const auto* from = reinterpret_cast<const float*>(q + row * dim);
          float* to = scores + row * score_stride;
          constexpr int kAtOnce = kRows == 1 ? 4 : kRows <= 3 ? 2 : 1;
          int s = 0;
          for (; s + kAtOnce <= keys.count; s += kAtOnce) {
            ScoreBlock<kRows, kAtOnce>(from, dim, keys, s, row == 0, to, score_stride);
          }
          for (; s < keys.count; ++s) {
            ScoreBlock<kRows, 1>(from, dim, keys, s, row == 0, to, score_stride);
          }
        });
  }

  static void AddValues(const Word* weights, int64_t weight_stride, int64_t rows, int64_t dim,
                        const SubTiles& values, float* sums) {
    ForEachRowBlock(
        rows, [&]<int kRows>(int64_t row) __attribute__((always_inline)) {
          const auto* from = reinterpret_cast<const float*>(weights + row * weight_stride);
          constexpr int kRegs = kRows <= 3 ? 4 : 2;
          for (int64_t d = 0; d < dim; d += kRegs * kLanes) {
            AddBlock<kRows, kRegs>(from, weight_stride, dim, values, d, row == 0, sums + row * dim);
          }
        });
  }

 private:
  // Blocks of nearly equal size, up to 6 rows each.
  template <class Visit>
  static inline __attribute__((always_inline)) void ForEachRowBlock(int64_t rows, Visit visit) {
    const int64_t blocks = (rows + 5) / 6;
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t row = block * rows / blocks;
      switch ((block + 1) * rows / blocks - row) {
        case 1:
          visit.template operator()<1>(row);
          break;
        case 2:
          visit.template operator()<2>(row);
          break;
        case 3:
          visit.template operator()<3>(row);
          break;
        case 4:
          visit.template operator()<4>(row);
          break;
        case 5:
          visit.template operator()<5>(row);
          break;
        default:
          visit.template operator()<6>(row);
          break;
      }
    }
  }

  static inline __attribute__((always_inline)) Reg Even(const Word* pairs) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(pairs)), 16));
  }
  static inline __attribute__((always_inline)) Reg Odd(const Word* pairs) {
    return _mm256_castsi256_ps(
        _mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(pairs)),
                         _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
  }

  // sum += a b. Assembly, because GCC 12 moves sums to other registers until they no longer fit.
  static inline __attribute__((always_inline)) void AddProduct(Reg& sum, Reg a, Reg b) {
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
  }

  // Where to ask for what is read one tile later, if `asks`; else a place that was just read.
  static const std::byte* AheadOf(const SubTiles& tiles, int s, bool asks) {
    return asks && tiles.ahead[s] != nullptr ? tiles.ahead[s]
                                             : reinterpret_cast<const std::byte*>(tiles.words[s]);
  }

  template <int kRows, int kSubTiles>
  static void ScoreBlock(const float* q, int64_t dim, const SubTiles& keys, int first, bool asks,
                         float* scores, int64_t score_stride) {
    Reg low[kRows][kSubTiles], high[kRows][kSubTiles];  // tokens 0-7 and 8-15
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int s = 0; s < kSubTiles; ++s) low[r][s] = high[r][s] = Zero();
    }
    const Word* k[kSubTiles];
    const std::byte* ahead[kSubTiles];
#pragma GCC unroll 8
    for (int s = 0; s < kSubTiles; ++s) {
      k[s] = keys.words[first + s];
      ahead[s] = AheadOf(keys, first + s, asks);
    }
    for (int64_t i = 0; i < dim; i += 2) {
#pragma GCC unroll 8
      for (int s = 0; s < kSubTiles; ++s) {
        const Word* pairs = k[s] + i / 2 * kSubTile;
        __builtin_prefetch(ahead[s] + i / 2 * (kSubTile * sizeof(Word)));
        const Reg even_low = Even(pairs), even_high = Even(pairs + kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const Reg a = V::Set(q[r * dim + i]);
          AddProduct(low[r][s], a, even_low);
          AddProduct(high[r][s], a, even_high);
        }
        __asm__("" : "+r"(pairs));  // Read again: registers are scarcer than loads.
        const Reg odd_low = Odd(pairs), odd_high = Odd(pairs + kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const Reg a = V::Set(q[r * dim + i + 1]);
          AddProduct(low[r][s], a, odd_low);
          AddProduct(high[r][s], a, odd_high);
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int s = 0; s < kSubTiles; ++s) {
        float* to = scores + r * score_stride + (first + s) * kSubTile;
        V::Store(to, low[r][s]);
        V::Store(to + kLanes, high[r][s]);
      }
    }
  }

  template <int kRows, int kRegs>
  static void AddBlock(const float* weights, int64_t weight_stride, int64_t dim,
                       const SubTiles& values, int64_t d, bool asks, float* sums) {
    Reg sum[kRows][kRegs];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int n = 0; n < kRegs; ++n) sum[r][n] = V::Load(sums + r * dim + d + n * kLanes);
    }
    for (int s = 0; s < values.count; ++s) {
      const Word* v = values.words[s] + d;
      const std::byte* ahead = AheadOf(values, s, asks) + d * sizeof(Word);
      for (int64_t t = 0; t < kSubTile; t += 2, v += dim, ahead += dim * sizeof(Word)) {
#pragma GCC unroll 8
        for (int line = 0; line < kRegs; line += 2) __builtin_prefetch(ahead + line * 32);
        const float* weight = weights + s * kSubTile + t;
#pragma GCC unroll 8
        for (int n = 0; n < kRegs; n += 2) {
          const Word* pairs = v + n * kLanes;
          const Reg even0 = Even(pairs), even1 = Even(pairs + kLanes);
#pragma GCC unroll 8
          for (int r = 0; r < kRows; ++r) {
            const Reg a = V::Set(weight[r * weight_stride]);
            AddProduct(sum[r][n], a, even0);
            AddProduct(sum[r][n + 1], a, even1);
          }
          __asm__("" : "+r"(pairs));
          const Reg odd0 = Odd(pairs), odd1 = Odd(pairs + kLanes);
#pragma GCC unroll 8
          for (int r = 0; r < kRows; ++r) {
            const Reg a = V::Set(weight[r * weight_stride + 1]);
            AddProduct(sum[r][n], a, odd0);
            AddProduct(sum[r][n + 1], a, odd1);
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int n = 0; n < kRegs; ++n) V::Store(sums + r * dim + d + n * kLanes, sum[r][n]);
    }
  }
};

}  // namespace oneai::kernels
