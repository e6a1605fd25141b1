// The two products of attention on AMX tiles, as a template on the tile unit: attention_amx.cc runs
// it on the hardware, the test on tiles in software, so that it is proved on machines without the
// unit.
//
// Up to 16 query rows are one A tile. A B tile is 32 dims of 16 keys as the cache has them, or 32
// positions of 16 dims of the values, which the blocks of a sequence do not hold in one piece: they
// are copied. Products are summed in order of 32 dims, or of 32 positions from the tile's start,
// whatever the number of rows. Source: Intel SDM, TDPBF16PS.
#pragma once

#include <cstring>

#include "kernels/attention/attention_bf16_unit.h"

namespace oneai::kernels {

// Memory operand of LDTILECFG, palette 1.
struct alignas(64) AttentionTileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {};
};
static_assert(sizeof(AttentionTileConfig) == 64);

template <class Tiles>
struct TileUnit : Bf16Unit {
  static constexpr int64_t kSubTileStep = 2;  // one B tile of values

  template <bool kKeys>
  static const Word* Expand(KvCacheFormat format, const std::byte* from, const std::byte* ahead,
                            int64_t dim, Word* to) {
    const Word* words = Bf16Unit::Expand<kKeys>(format, from, ahead, dim, to);
    if (kKeys) return words;
    const int64_t bytes = kSubTile * dim * KvElementBytes(format);
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(ahead + i);
    if (words == to) return words;
    for (int64_t i = 0; i < kSubTile * dim / 2; i += 16) {
      _mm512_storeu_si512(to + i, _mm512_loadu_si512(words + i));
    }
    return to;
  }

  static void Scores(const Word* q, int64_t rows, int64_t steps, const SubTiles& keys,
                     float* scores, int64_t score_stride) {
    for (int64_t row = 0; row < rows; row += 16) {
      Configure(rows - row < 16 ? rows - row : 16);
      const Word* from = q + row * steps;
      float* to = scores + row * score_stride;
      keys.count == 4 ? ScoreGroup<4>(from, steps, keys, 0, row == 0, to, score_stride)
                      : ScoreGroup<2>(from, steps, keys, 0, row == 0, to, score_stride);
    }
    Tiles::Release();
  }

  static void AddValues(const Word* weights, int64_t weight_stride, int64_t rows, int64_t dim,
                        const SubTiles& values, float* sums) {
    for (int64_t row = 0; row < rows; row += 16) {
      Configure(rows - row < 16 ? rows - row : 16);
      for (int64_t d = 0; d < dim; d += 32) {
        AddGroup(weights + row * weight_stride, weight_stride, dim, values, d,
                 sums + row * dim + d);
      }
    }
    Tiles::Release();
  }

 private:
  static constexpr int64_t kStepWords = 16;  // 32 bf16: one row of an A tile

  // Tiles 0-3 are C and 4 is A, all with `rows` rows; 5-7 are B.
  static void Configure(int64_t rows) {
    AttentionTileConfig config;
    for (int tile = 0; tile < 8; ++tile) {
      config.rows[tile] = static_cast<uint8_t>(tile < 5 ? rows : 16);
    }
    Tiles::Configure(config);
  }

  template <int kSubTiles>
  static void ScoreGroup(const Word* q, int64_t steps, const SubTiles& keys, int first,
                         bool prefetch, float* scores, int64_t score_stride) {
    Tiles::template Zero<0>();
    Tiles::template Zero<1>();
    if constexpr (kSubTiles == 4) {
      Tiles::template Zero<2>();
      Tiles::template Zero<3>();
    }
    for (int64_t i = 0; i < steps; i += kStepWords) {
      Tiles::template Load<4>(q + i, steps * 4);
      for (int s = 0; prefetch && keys.ahead[0] != nullptr && s < kSubTiles; ++s) {
        for (int64_t line = 0; line < 16; ++line) {
          __builtin_prefetch(keys.ahead[first + s] + ((i + line) * 64 >> keys.ahead_shift));
        }
      }
      Tiles::template Load<5>(keys.words[first] + i * kSubTile, 64);
      Tiles::template MultiplyAdd<0, 4, 5>();
      Tiles::template Load<6>(keys.words[first + 1] + i * kSubTile, 64);
      Tiles::template MultiplyAdd<1, 4, 6>();
      if constexpr (kSubTiles == 4) {
        Tiles::template Load<7>(keys.words[first + 2] + i * kSubTile, 64);
        Tiles::template MultiplyAdd<2, 4, 7>();
        Tiles::template Load<5>(keys.words[first + 3] + i * kSubTile, 64);
        Tiles::template MultiplyAdd<3, 4, 5>();
      }
    }
    Tiles::template Store<0>(scores, score_stride * 4);
    Tiles::template Store<1>(scores + kSubTile, score_stride * 4);
    if constexpr (kSubTiles == 4) {
      Tiles::template Store<2>(scores + 2 * kSubTile, score_stride * 4);
      Tiles::template Store<3>(scores + 3 * kSubTile, score_stride * 4);
    }
  }

  // 32 dims: two C tiles that share the A tiles.
  static void AddGroup(const Word* weights, int64_t weight_stride, int64_t dim,
                       const SubTiles& values, int64_t d, float* sums) {
    Tiles::template Load<0>(sums, dim * 4);
    Tiles::template Load<1>(sums + 16, dim * 4);
    for (int s = 0; s < values.count; s += 2) {
      Tiles::template Load<4>(weights + s * kSubTile / kPack, weight_stride * 4);
      Tiles::template Load<5>(values.words[s] + d, dim * 4);
      Tiles::template MultiplyAdd<0, 4, 5>();
      Tiles::template Load<6>(values.words[s] + d + 16, dim * 4);
      Tiles::template MultiplyAdd<1, 4, 6>();
    }
    Tiles::template Store<0>(sums, dim * 4);
    Tiles::template Store<1>(sums + 16, dim * 4);
  }
};

}  // namespace oneai::kernels
