// The two products of attention on tiles of 32-bit words, written once over a unit
// (attention_units_*.h).
//
// A unit multiplies words: a float32 (kPack 1) or a pair of bf16 (kPack 2). Of 16 tokens, keys are
// [dim / kPack][16] words and values [16 / kPack][dim] words, so that one load feeds 8 or 16
// outputs of every query row, whose own word is broadcast; no sum over lanes is ever taken. A block
// of up to 6 rows keeps its sums in registers. Every output is summed in order of dim (scores) or
// position (values) in one accumulator, whatever the blocks, so its bits do not depend on them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oneai::kernels {

inline constexpr int64_t kSubTile = 16;  // tokens

// The same memory is written as floats or bf16 and read as words.
using Word [[gnu::may_alias]] = uint32_t;

// Consecutive sub-tiles of keys or values. `ahead`, unless null, are the places that will be read
// one tile later: they are prefetched at the pace of the reading, since a sequence's blocks lie
// anywhere and no hardware prefetcher can know the next.
struct SubTiles {
  const Word* words[4] = {};
  const std::byte* ahead[4] = {};
  int count = 0;
};

template <class Unit>
class AttentionLoops {
  using Reg = typename Unit::Reg;
  static constexpr int64_t kLanes = Unit::kLanes;
  static constexpr int kTileRegs = static_cast<int>(kSubTile / kLanes);
  static constexpr int kSubTilesAtOnce = Unit::kNumRegisters >= 32 ? 4 : 1;

 public:
  // scores[r][16 s + t] = sum_i q[r][i] * keys[s][i][t]; rows `steps` words (q) and `score_stride`
  // floats apart.
  static void Scores(const Word* q, int64_t rows, int64_t steps, const SubTiles& keys,
                     float* scores, int64_t score_stride) {
    ForEachRowBlock(
        rows, [&]<int kRows>(int64_t row) __attribute__((always_inline)) {
          const Word* from = q + row * steps;
          float* to = scores + row * score_stride;
          if (row == 0 && keys.ahead[0] != nullptr) {
            ScoreRows<kRows, true>(from, steps, keys, to, score_stride);
          } else {
            ScoreRows<kRows, false>(from, steps, keys, to, score_stride);
          }
        });
  }

  // sums[r][d] += sum over s, j of weights[r][s * 16 / kPack + j] * values[s][j][d]; rows
  // `weight_stride` words and `dim` floats apart.
  static void AddValues(const Word* weights, int64_t weight_stride, int64_t rows, int64_t dim,
                        const SubTiles& values, float* sums) {
    ForEachRowBlock(
        rows, [&]<int kRows>(int64_t row) __attribute__((always_inline)) {
          const Word* from = weights + row * weight_stride;
          float* to = sums + row * dim;
          if (row == 0 && values.ahead[0] != nullptr) {
            AddRows<kRows, true>(from, weight_stride, dim, values, to);
          } else {
            AddRows<kRows, false>(from, weight_stride, dim, values, to);
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

  template <int kRows, bool kAhead>
  static void ScoreRows(const Word* q, int64_t steps, const SubTiles& keys, float* scores,
                        int64_t score_stride) {
    int s = 0;
    for (; s + kSubTilesAtOnce <= keys.count; s += kSubTilesAtOnce) {
      ScoreBlock<kRows, kSubTilesAtOnce, kAhead>(q, steps, keys, s, scores, score_stride);
    }
    for (; s < keys.count; ++s) {
      ScoreBlock<kRows, 1, kAhead>(q, steps, keys, s, scores, score_stride);
    }
  }

  template <int kRows, int kSubTiles, bool kAhead>
  static inline __attribute__((always_inline)) void ScoreBlock(const Word* q, int64_t steps,
                                                               const SubTiles& keys, int first,
                                                               float* scores,
                                                               int64_t score_stride) {
    constexpr int kRegs = kSubTiles * kTileRegs;
    Reg sum[kRows][kRegs];
    for (int r = 0; r < kRows; ++r) {
      for (int n = 0; n < kRegs; ++n) sum[r][n] = Unit::Zero();
    }
    const Word* k[kSubTiles];
    const std::byte* ahead[kSubTiles];
    for (int s = 0; s < kSubTiles; ++s) {
      k[s] = keys.words[first + s];
      ahead[s] = keys.ahead[first + s];
    }
    for (int64_t i = 0; i < steps; ++i) {
      Reg b[kRegs];
      for (int s = 0; s < kSubTiles; ++s) {
        if constexpr (kAhead) __builtin_prefetch(ahead[s] + i * 64);
        for (int n = 0; n < kTileRegs; ++n) {
          b[s * kTileRegs + n] = Unit::Load(k[s] + i * kSubTile + n * kLanes);
        }
      }
      for (int r = 0; r < kRows; ++r) {
        const Reg a = Unit::Broadcast(q + r * steps + i);
        for (int n = 0; n < kRegs; ++n) sum[r][n] = Unit::Dot(a, b[n], sum[r][n]);
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int n = 0; n < kRegs; ++n) {
        Unit::Store(scores + r * score_stride + first * kSubTile + n * kLanes, sum[r][n]);
      }
    }
  }

  // dim is a multiple of 32 floats: 2 or 4 registers.
  template <int kRows, bool kAhead>
  static void AddRows(const Word* weights, int64_t weight_stride, int64_t dim,
                      const SubTiles& values, float* sums) {
    constexpr int kBase = Unit::kNumRegisters >= 32 ? 4 : 2;
    int64_t d = 0;
    if constexpr (kRows <= 3) {
      for (; d + 2 * kBase * kLanes <= dim; d += 2 * kBase * kLanes) {
        AddBlock<kRows, 2 * kBase, kAhead>(weights, weight_stride, dim, values, d, sums);
      }
    }
    for (; d + kBase * kLanes <= dim; d += kBase * kLanes) {
      AddBlock<kRows, kBase, kAhead>(weights, weight_stride, dim, values, d, sums);
    }
    for (; d < dim; d += 2 * kLanes) {
      AddBlock<kRows, 2, kAhead>(weights, weight_stride, dim, values, d, sums);
    }
  }

  template <int kRows, int kRegs, bool kAhead>
  static inline __attribute__((always_inline)) void AddBlock(const Word* weights,
                                                             int64_t weight_stride, int64_t dim,
                                                             const SubTiles& values, int64_t d,
                                                             float* sums) {
    constexpr int64_t kSteps = kSubTile / Unit::kPack;
    Reg sum[kRows][kRegs];
    for (int r = 0; r < kRows; ++r) {
      for (int n = 0; n < kRegs; ++n) sum[r][n] = Unit::LoadFloats(sums + r * dim + d + n * kLanes);
    }
    for (int s = 0; s < values.count; ++s) {
      const Word* v = values.words[s] + d;
      for (int64_t j = 0; j < kSteps; ++j) {
        Reg b[kRegs];
        for (int n = 0; n < kRegs; ++n) b[n] = Unit::Load(v + j * dim + n * kLanes);
        if constexpr (kAhead) {
          const std::byte* ahead = values.ahead[s] + (j * dim + d) * 4;
          for (int n = 0; n < kRegs; n += kTileRegs) __builtin_prefetch(ahead + n * kLanes * 4);
        }
        for (int r = 0; r < kRows; ++r) {
          const Reg a = Unit::Broadcast(weights + r * weight_stride + s * kSteps + j);
          for (int n = 0; n < kRegs; ++n) sum[r][n] = Unit::Dot(a, b[n], sum[r][n]);
        }
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int n = 0; n < kRegs; ++n) Unit::Store(sums + r * dim + d + n * kLanes, sum[r][n]);
    }
  }
};

}  // namespace oneai::kernels
