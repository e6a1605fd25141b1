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
  int ahead_shift = 0;  // log2 of how much smaller than its words a sub-tile is in the cache
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
          switch (SubTilesToAsk(rows, row, keys)) {
            case 4:
              ScoreRows<kRows, 4>(from, steps, keys, 0, to, score_stride);
              break;
            case 2:
              ScoreRows<kRows, 2>(from, steps, keys, row == 0 ? 0 : 2, to, score_stride);
              break;
            default:
              ScoreRows<kRows, 0>(from, steps, keys, 0, to, score_stride);
              break;
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
          switch (SubTilesToAsk(rows, row, values)) {
            case 4:
              AddRows<kRows, 4>(from, weight_stride, dim, values, 0, to);
              break;
            case 2:
              AddRows<kRows, 2>(from, weight_stride, dim, values, row == 0 ? 0 : 2, to);
              break;
            default:
              AddRows<kRows, 0>(from, weight_stride, dim, values, 0, to);
              break;
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

  // For how many sub-tiles ahead the block at `row` asks: all four, or the first two blocks of rows
  // two each, so that memory is kept busy for longer.
  static int SubTilesToAsk(int64_t rows, int64_t row, const SubTiles& tiles) {
    if (tiles.ahead[0] == nullptr) return 0;
    const int64_t blocks = (rows + 5) / 6;
    if (blocks == 1) return 4;
    return row <= rows / blocks ? 2 : 0;
  }

  // kAhead sub-tiles from `ask` on are asked for.
  template <int kRows, int kAhead>
  static void ScoreRows(const Word* q, int64_t steps, const SubTiles& keys, int ask, float* scores,
                        int64_t score_stride) {
    int s = 0;
    for (; s + kSubTilesAtOnce <= keys.count; s += kSubTilesAtOnce) {
      ScoreBlock<kRows, kSubTilesAtOnce, kAhead>(q, steps, keys, s, ask, scores, score_stride);
    }
    for (; s < keys.count; ++s) {
      ScoreBlock<kRows, 1, kAhead>(q, steps, keys, s, ask, scores, score_stride);
    }
  }

  template <int kRows, int kSubTiles, int kAhead>
  static inline __attribute__((always_inline)) void ScoreBlock(const Word* q, int64_t steps,
                                                               const SubTiles& keys, int first,
                                                               int ask, float* scores,
                                                               int64_t score_stride) {
    constexpr int kRegs = kSubTiles * kTileRegs;
    Reg sum[kRows][kRegs];
    for (int r = 0; r < kRows; ++r) {
      for (int n = 0; n < kRegs; ++n) sum[r][n] = Unit::Zero();
    }
    const Word* k[kSubTiles];
    for (int s = 0; s < kSubTiles; ++s) k[s] = keys.words[first + s];
    // A lone sub-tile begins or ends a span; what follows it is not worth the code.
    constexpr int kAsked = kSubTiles == 4 ? kAhead : 0;
    const std::byte* ahead[kAsked + 1];
    for (int s = 0; s < kAsked; ++s) ahead[s] = keys.ahead[ask + s];
    const int64_t step = 64 >> keys.ahead_shift;  // of two asks for one line the second is free
    for (int64_t i = 0; i < steps; ++i) {
      Reg b[kRegs];
      for (int s = 0; s < kAsked; ++s) __builtin_prefetch(ahead[s] + i * step);
      for (int s = 0; s < kSubTiles; ++s) {
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
  template <int kRows, int kAhead>
  static void AddRows(const Word* weights, int64_t weight_stride, int64_t dim,
                      const SubTiles& values, int ask, float* sums) {
    constexpr int kBase = Unit::kNumRegisters >= 32 ? 4 : 2;
    int64_t d = 0;
    if constexpr (kRows <= 3) {
      for (; d + 2 * kBase * kLanes <= dim; d += 2 * kBase * kLanes) {
        AddBlock<kRows, 2 * kBase, kAhead>(weights, weight_stride, dim, values, d, ask, sums);
      }
    }
    for (; d + kBase * kLanes <= dim; d += kBase * kLanes) {
      AddBlock<kRows, kBase, kAhead>(weights, weight_stride, dim, values, d, ask, sums);
    }
    for (; d < dim; d += 2 * kLanes) {
      AddBlock<kRows, 2, kAhead>(weights, weight_stride, dim, values, d, ask, sums);
    }
  }

  template <int kRows, int kRegs, int kAhead>
  static inline __attribute__((always_inline)) void AddBlock(const Word* weights,
                                                             int64_t weight_stride, int64_t dim,
                                                             const SubTiles& values, int64_t d,
                                                             int ask, float* sums) {
    constexpr int64_t kSteps = kSubTile / Unit::kPack;
    Reg sum[kRows][kRegs];
    for (int r = 0; r < kRows; ++r) {
      for (int n = 0; n < kRegs; ++n) sum[r][n] = Unit::LoadFloats(sums + r * dim + d + n * kLanes);
    }
    for (int s = 0; s < values.count; ++s) {
      const Word* v = values.words[s] + d;
      const bool asks = kAhead == 4 || (kAhead > 0 && s >= ask && s < ask + kAhead);
      for (int64_t j = 0; j < kSteps; ++j) {
        Reg b[kRegs];
        for (int n = 0; n < kRegs; ++n) b[n] = Unit::Load(v + j * dim + n * kLanes);
        if (asks) {
          const std::byte* ahead = values.ahead[s] + ((j * dim + d) * 4 >> values.ahead_shift);
          for (int n = 0; n < kRegs; n += kTileRegs) {
            __builtin_prefetch(ahead + (n * kLanes * 4 >> values.ahead_shift));
          }
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
