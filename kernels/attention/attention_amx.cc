// Idea: the two products of attention on AMX tiles. Up to 16 query rows are one A tile. A B tile is
// 32 dims of 16 keys as the cache has them, or 32 positions of 16 dims of the values, which the
// blocks of a sequence do not hold in one piece: they are copied. Products are summed in order of
// 32 dims, or of 32 positions from the tile's start, whatever the number of rows. Source: Intel
// SDM, TDPBF16PS.
//
// Bottleneck: as in attention_pass.h. Never run on hardware by its authors: tests run these
// instructions in an emulator (tests/testing/amx_emulator.h).
#include "kernels/attention/attention_bf16_unit.h"
#include "kernels/attention/attention_pass.h"
#include "kernels/attention/attention_variants.h"
#include "kernels/cpu/amx_tiles.h"

namespace oneai::kernels {
namespace {

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

  // Shapes for up to 32 rows: tiles 0, 1 (C) and 4 (A) have the first 16, tiles 2, 3 and 7 the
  // rest; 5 and 6 are B. So one configuration serves both products of a task.
  static void Configure(int64_t rows) {
    TileConfig config;
    const int64_t first = rows < kTileRows ? rows : kTileRows;
    const int64_t second = rows < 2 * kTileRows ? rows - first : kTileRows;
    for (const int tile : {0, 1, 4}) SetShape(config, tile, first);
    for (const int tile : {2, 3, 7}) SetShape(config, tile, second);
    for (const int tile : {5, 6}) SetShape(config, tile, kTileRows);
    AmxTiles::Configure(config);
  }

  static void Scores(const Word* q, int64_t rows, int64_t steps, const SubTiles& keys,
                     float* scores, int64_t score_stride) {
    for (int64_t row = 0; row < rows; row += kRowsMax) {
      if (rows > kRowsMax) Configure(rows - row);
      for (int s = 0; s < keys.count; s += 2) {
        const bool asks = row == 0 && keys.ahead[0] != nullptr;
        const Word* from = q + row * steps;
        float* to = scores + row * score_stride + s * kSubTile;
        rows - row > kTileRows ? ScorePair<true>(from, steps, keys, s, asks, to, score_stride)
                               : ScorePair<false>(from, steps, keys, s, asks, to, score_stride);
      }
    }
  }

  static void AddValues(const Word* weights, int64_t weight_stride, int64_t rows, int64_t dim,
                        const SubTiles& values, float* sums) {
    for (int64_t row = 0; row < rows; row += kRowsMax) {
      if (rows > kRowsMax) Configure(rows - row);
      const Word* from = weights + row * weight_stride;
      for (int64_t d = 0; d < dim; d += 32) {
        float* to = sums + row * dim + d;
        rows - row > kTileRows ? AddPair<true>(from, weight_stride, dim, values, d, to)
                               : AddPair<false>(from, weight_stride, dim, values, d, to);
      }
    }
  }

 private:
  static constexpr int64_t kStepWords = 16;  // 32 bf16: one row of an A tile
  static constexpr int64_t kTileRows = 16;
  static constexpr int64_t kRowsMax = 2 * kTileRows;

  static void SetShape(TileConfig& config, int tile, int64_t rows) {
    config.rows[tile] = static_cast<uint8_t>(rows);
    config.row_bytes[tile] = rows > 0 ? 64 : 0;
  }

  // Two sub-tiles of keys for up to 16 rows, or for up to 32: four products for four loads.
  template <bool kTwo>
  static void ScorePair(const Word* q, int64_t steps, const SubTiles& keys, int first, bool asks,
                        float* scores, int64_t score_stride) {
    AmxTiles::Zero<0>();
    AmxTiles::Zero<1>();
    if constexpr (kTwo) {
      AmxTiles::Zero<2>();
      AmxTiles::Zero<3>();
    }
    for (int64_t i = 0; i < steps; i += kStepWords) {
      for (int s = 0; asks && s < 2; ++s) {
        for (int64_t line = 0; line < 16; ++line) {
          __builtin_prefetch(keys.ahead[first + s] + ((i + line) * 64 >> keys.ahead_shift));
        }
      }
      AmxTiles::Load<4>(q + i, steps * 4);
      AmxTiles::Load<5>(keys.words[first] + i * kSubTile, 64);
      AmxTiles::MultiplyBf16<0, 4, 5>();
      AmxTiles::Load<6>(keys.words[first + 1] + i * kSubTile, 64);
      AmxTiles::MultiplyBf16<1, 4, 6>();
      if constexpr (kTwo) {
        AmxTiles::Load<7>(q + kTileRows * steps + i, steps * 4);
        AmxTiles::MultiplyBf16<2, 7, 5>();
        AmxTiles::MultiplyBf16<3, 7, 6>();
      }
    }
    AmxTiles::Store<0>(scores, score_stride * 4);
    AmxTiles::Store<1>(scores + kSubTile, score_stride * 4);
    if constexpr (kTwo) {
      AmxTiles::Store<2>(scores + kTileRows * score_stride, score_stride * 4);
      AmxTiles::Store<3>(scores + kTileRows * score_stride + kSubTile, score_stride * 4);
    }
  }

  // 32 dims of up to 16 or 32 rows.
  template <bool kTwo>
  static void AddPair(const Word* weights, int64_t weight_stride, int64_t dim,
                      const SubTiles& values, int64_t d, float* sums) {
    AmxTiles::Load<0>(sums, dim * 4);
    AmxTiles::Load<1>(sums + 16, dim * 4);
    if constexpr (kTwo) {
      AmxTiles::Load<2>(sums + kTileRows * dim, dim * 4);
      AmxTiles::Load<3>(sums + kTileRows * dim + 16, dim * 4);
    }
    for (int s = 0; s < values.count; s += 2) {
      const Word* from = weights + s * kSubTile / kPack;
      AmxTiles::Load<4>(from, weight_stride * 4);
      AmxTiles::Load<5>(values.words[s] + d, dim * 4);
      AmxTiles::MultiplyBf16<0, 4, 5>();
      AmxTiles::Load<6>(values.words[s] + d + 16, dim * 4);
      AmxTiles::MultiplyBf16<1, 4, 6>();
      if constexpr (kTwo) {
        AmxTiles::Load<7>(from + kTileRows * weight_stride, weight_stride * 4);
        AmxTiles::MultiplyBf16<2, 7, 5>();
        AmxTiles::MultiplyBf16<3, 7, 6>();
      }
    }
    AmxTiles::Store<0>(sums, dim * 4);
    AmxTiles::Store<1>(sums + 16, dim * 4);
    if constexpr (kTwo) {
      AmxTiles::Store<2>(sums + kTileRows * dim, dim * 4);
      AmxTiles::Store<3>(sums + kTileRows * dim + 16, dim * 4);
    }
  }
};

}  // namespace

void AttentionAmxBf16(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch) {
  if (args.cache.format == KvCacheFormat::kF32) return AttentionAvx512(args, task, scratch);
  if (task.step == AttentionStep::kMerge) {  // no products
    return AttentionPass<TileUnit>::Run(args, task, scratch);
  }
  TileUnit::Configure((task.token_end - task.token_begin) * GroupSize(args));
  AttentionPass<TileUnit>::Run(args, task, scratch);
  AmxTiles::Release();
}

}  // namespace oneai::kernels
