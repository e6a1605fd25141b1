// Cuts a task into register tiles of rows x panels x depth, in an order that reads w from memory
// once, evenly, and multiplies it from a cache:
//
//   for each block of panels (contiguous in memory)
//     for each chunk of rows, for each chunk of depth: the weights of this chunk fit the second
//     level (integer ones the first)
//       for each panel tile, each row tile: multiply; sums rest in `carry` between chunks of depth
//
// While a tile works on one chunk of weights it asks for its share of the next, so that memory and
// arithmetic overlap however many row tiles there are. Sums pass through `carry` unrounded and
// every output takes its products in order of k, so the cut changes no bit.
#pragma once

#include <algorithm>

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/round_rows.h"

namespace oneai::kernels {

inline constexpr int64_t kLineBytes = 64;
inline constexpr int64_t kTileBytes = 1024;  // of all formats but int4 and small groups
inline constexpr int64_t kStreamAheadBytes = 8192;
inline constexpr int64_t kBlockOutputs = PackedLayout::kBlockPanels * PackedLayout::kPanelOutputs;

// One tile's work: rows from `row` (all in one group of 16), panels from `panel` (all in one
// block), k in [k_begin, k_end).
struct TileWork {
  int64_t row;
  int64_t panel;
  int64_t k_begin, k_end;
  bool first, last;  // chunk of depth: sums start at zero, sums are complete
  // Sums of row `row`, panel `panel`, between chunks; rows are kBlockOutputs apart.
  float* carry;
  int32_t* group_carry;  // integer weights: the same of a group of k that two chunks share
  // Lines i of every 16 with bit i set are this tile's to ask for, `ahead_bytes` ahead.
  uint32_t prefetch_lines;
  int64_t ahead_bytes;
  bool reads_once;  // no other tile reads these weights
};

// How a tile asks for lines of w before they are needed.
class Stream {
 public:
  template <class Work>  // TileWork or a part of it
  ONEAI_INLINE explicit Stream(const Work& work)
      : ahead_(work.ahead_bytes), lines_(work.prefetch_lines), once_(work.reads_once) {}

  // Asks for line `i` of a step's kPanels tiles, which begin at `w`. A tile's lines of all panels
  // are used together, but asked for in the order of memory, which the hardware's own prefetchers
  // can follow. Weights that are read once pass the caches by: evicted from the second level, they
  // would be written to the third (AMD: a victim cache).
  template <int kPanels>
  ONEAI_INLINE void Ask(const std::byte* w, int64_t i) const {
    if ((lines_ >> i & 1u) == 0) return;
    const std::byte* line = w + ahead_ + i * (kPanels * kLineBytes);
    if (once_) {
      for (int p = 0; p < kPanels; ++p) __builtin_prefetch(line + p * kLineBytes, 0, 0);
    } else {
      for (int p = 0; p < kPanels; ++p) __builtin_prefetch(line + p * kLineBytes, 0, 3);
    }
  }

 private:
  const int64_t ahead_;
  const uint32_t lines_;
  const bool once_;
};

// Outputs of a panel that exist: 16, or fewer in the last one.
ONEAI_INLINE int PanelOutputs(const GemmTask& task, int64_t panel) {
  const int64_t left = task.w->n() - panel * PackedMatrix::kPanelOutputs;
  return static_cast<int>(left < PackedMatrix::kPanelOutputs ? left : PackedMatrix::kPanelOutputs);
}

// Tiles of a panel of dense weights: tile s is at data + s * step.
struct TileStream {
  const std::byte* data;
  int64_t step;
};
ONEAI_INLINE TileStream StreamOf(const GemmTask& task, int64_t panel) {
  const PackedLayout& layout = task.w->layout();
  return {task.w->data() + layout.TileBegin(panel, 0, 0),
          layout.BlockWidth(panel) * layout.tile_bytes()};
}

// Rows of bf16 x as pairs: those of one group of 16 are kDepthStep / 2 apart, the next 32 k `step`.
struct PairRows {
  const int32_t* data;
  int64_t step;
};
ONEAI_INLINE PairRows LocatePairs(const GemmTask& task, int64_t row) {
  const RoundedRow at = LocateRoundedRow(row, task.m, task.w->padded_k());
  return {static_cast<const int32_t*>(task.x) + at.first / 2, at.step / 2};
}

// Rows of x's codes: those of one group of 16 are kCodeStep apart, the next 64 k `step`.
struct CodeTileRows {
  const int8_t* data;
  int64_t step;
};
ONEAI_INLINE CodeTileRows LocateCodes(const GemmTask& task, int64_t row) {
  const RoundedRow at = LocateCodeRow(row, task.m, task.w->padded_k());
  return {task.codes.codes + at.first, at.step};
}

// How many rows the tile at `row` has: groups of 16 rows are cut evenly into tiles of at most
// `rows_max`.
ONEAI_INLINE int64_t TileRows(int64_t row, int64_t row_end, int64_t rows_max) {
  const int64_t group_end = std::min(row_end, (row / kRowGroup + 1) * kRowGroup);
  const int64_t left = group_end - row;
  const int64_t tiles = (left + rows_max - 1) / rows_max;
  return (left + tiles - 1) / tiles;
}

// Runs Tile<rows, panels>, whose extents are known when compiled, of up to kRows x kPanels.
template <template <int, int> class Tile, int kRowsMax, int kPanelsMax>
struct TileRunner {
  static_assert(kRowsMax <= 6);
  static constexpr int64_t kRows = kRowsMax;
  static constexpr int kPanels = kPanelsMax;
  // Weights stream from the second level at a third of what it gives; a chunk for the first would
  // pass the sums through memory every 128 k, which costs a fifth of the speed.
  static constexpr int64_t kChunkBytes = 131072;
  static constexpr int64_t kChunkRows = 96;  // that share a chunk of weights

  template <int kCount>
  ONEAI_INLINE void Run(int64_t rows, const GemmTask& task, const TileWork& work) {
    switch (rows) {
      case 1:
        return Tile<1, kCount>::Run(task, work);
      case 2:
        return Tile<2, kCount>::Run(task, work);
      case 3:
        return Tile<3, kCount>::Run(task, work);
      case 4:
        return Tile<4, kCount>::Run(task, work);
      default:
        return RunAtLeast5<kCount>(rows, task, work);
    }
  }

 private:
  template <int kCount>
  ONEAI_INLINE void RunAtLeast5(int64_t rows, const GemmTask& task, const TileWork& work) {
    if constexpr (kRowsMax > 4) {
      if (rows == 5) return Tile<5, kCount>::Run(task, work);
      Tile<6, kCount>::Run(task, work);
    }
  }
};

// The loop over one task. `Runner` has kRows, kPanels, kChunkBytes and kChunkRows as above, and
// Run<panels>(rows, task, work), called with kPanels or 1 panels and up to kRows rows.
template <class Runner>
class TileLoop {
 public:
  static constexpr int64_t kRows = Runner::kRows;
  static constexpr int kPanels = Runner::kPanels;
  static constexpr int64_t kChunkRows = Runner::kChunkRows;
  static_assert(PackedLayout::kBlockPanels % kPanels == 0);

  explicit TileLoop(const GemmTask& task) : task_(task), layout_(task.w->layout()) {}

  void Run() {
    int64_t panel = task_.panel_begin;
    while (panel < task_.panel_end) {
      const int64_t block_end =
          (panel / PackedLayout::kBlockPanels + 1) * PackedLayout::kBlockPanels;
      const int64_t end = std::min(block_end, task_.panel_end);
      for (int64_t row = task_.row_begin; row < task_.row_end; row += kChunkRows) {
        RunRows(row, std::min(task_.row_end, row + kChunkRows), panel, end);
      }
      panel = end;
    }
  }

 private:
  // Depth of a chunk: whole groups of k where they are small.
  int64_t ChunkDepth(int64_t tiles) const {
    const int64_t depth = IsInteger(layout_.format) ? layout_.padded_k : layout_.k;
    if (tiles == 1) return depth;
    const int64_t bits = FormatBits(layout_.format);
    const int64_t fitting = Runner::kChunkBytes * 8 / (bits * kBlockOutputs);
    if (!IsInteger(layout_.format)) return fitting;
    const int64_t unit = layout_.group_size <= fitting ? layout_.group_size : layout_.tile_k;
    return fitting / unit * unit;
  }

  // From a line of w to the one to ask for: a little ahead of a lone stream (the hardware
  // prefetcher restarts at each page, this does not), else the same place in the next chunk. Whole
  // groups, where they are small, so that codes ask for codes and scales for scales.
  int64_t AheadBytes(int64_t tiles, int64_t chunk, int64_t width) const {
    const int64_t dense = chunk * width * (layout_.tile_bytes() / layout_.tile_k);
    const int64_t ahead = tiles == 1 ? kStreamAheadBytes : dense;
    const int64_t group = layout_.GroupBytes(width);
    if (!IsInteger(layout_.format) || group > kStreamAheadBytes) return ahead;
    return (ahead + group - 1) / group * group;
  }

  void RunRows(int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
    int64_t tiles = 0;
    for (int64_t row = row_begin; row < row_end; row += TileRows(row, row_end, kRows)) ++tiles;
    const int64_t wide = (panel_end - panel_begin) / kPanels * kPanels;
    const int64_t panel_tiles = wide / kPanels + (panel_end - panel_begin - wide);
    const int64_t all_tiles = tiles * panel_tiles;
    const int64_t depth = IsInteger(layout_.format) ? layout_.padded_k : layout_.k;
    const int64_t chunk = ChunkDepth(all_tiles);
    TileWork work;
    work.ahead_bytes = AheadBytes(all_tiles, chunk, layout_.BlockWidth(panel_begin));
    work.reads_once = tiles == 1;
    for (work.k_begin = 0; work.k_begin < depth; work.k_begin += chunk) {
      work.k_end = std::min(depth, work.k_begin + chunk);
      work.first = work.k_begin == 0;
      work.last = work.k_end == depth;
      work.panel = panel_begin;
      while (work.panel < panel_end) {
        const bool is_wide = work.panel + kPanels <= panel_end;
        int64_t tile = 0;
        for (work.row = row_begin; work.row < row_end; ++tile) {
          const int64_t rows = TileRows(work.row, row_end, kRows);
          const int64_t output = (work.row - row_begin) * kBlockOutputs +
                                 (work.panel - panel_begin) * PackedLayout::kPanelOutputs;
          work.carry = carry_ + output;
          work.group_carry = group_carry_ + output;
          work.prefetch_lines = LinesOf(tile, tiles);
          if (is_wide) {
            runner_.template Run<kPanels>(rows, task_, work);
          } else {
            runner_.template Run<1>(rows, task_, work);
          }
          work.row += rows;
        }
        work.panel += is_wide ? kPanels : 1;
      }
    }
  }

  // Every tiles-th line from line `tile`.
  static uint32_t LinesOf(int64_t tile, int64_t tiles) {
    uint32_t lines = 0;
    for (int64_t i = tile; i < 16; i += tiles) lines |= 1u << i;
    return lines;
  }

  Runner runner_;
  const GemmTask& task_;
  const PackedLayout& layout_;
  alignas(64) float carry_[kChunkRows * kBlockOutputs];
  alignas(64) int32_t group_carry_[kChunkRows * kBlockOutputs];
};

template <template <int, int> class Tile, int kRows, int kPanels>
void ForEachTile(const GemmTask& task) {
  TileLoop<TileRunner<Tile, kRows, kPanels>>(task).Run();
}

}  // namespace oneai::kernels
