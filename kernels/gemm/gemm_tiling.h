// Cuts a task into register tiles of rows x panels x depth, in an order that reads w from memory
// once, evenly, and multiplies it from a cache:
//
//   for each block of panels (contiguous in memory)
//     for each chunk of rows, for each chunk of depth: the weights of this chunk fit a cache
//       for each panel tile, each row tile: multiply; sums rest in `carry` between chunks of depth
//
// All tiles that work on one chunk of weights together ask for the next, line after line in the
// order of memory, so that memory and arithmetic overlap however many row tiles there are. Sums
// pass through `carry` unrounded and every output takes its products in order of k, so the cut
// changes no bit.
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
  // The next line of w to ask for, which moves on from tile to tile. At lines i of a step with bit
  // i set this tile asks for as many as it has panels.
  const std::byte** ask_at;
  uint32_t ask_lines;
  // Where the task has only a part of its block's panels: from a step's weights to the lines to ask
  // for meanwhile. Else 0.
  int64_t ask_distance;
  bool reads_once;  // no other tile reads these weights
};

// How a tile asks for lines of w before they are needed: in the order of memory, whatever the order
// of their use is, because the hardware's own prefetchers follow that, and what a core can ask for
// by itself does not cover the latency of memory. Weights that are read once pass the caches by:
// evicted from the second level, they would be written to the third (AMD: a victim cache).
class Stream {
 public:
  template <class Work>  // TileWork or a part of it
  ONEAI_INLINE explicit Stream(const Work& work)
      : at_(work.ask_at),
        next_(*work.ask_at),
        lines_(work.ask_lines),
        distance_(work.ask_distance),
        once_(work.reads_once) {}
  ONEAI_INLINE ~Stream() { *at_ = next_; }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Before the lines of a step whose weights begin at `w`.
  ONEAI_INLINE void Step(const std::byte* w) {
    if (distance_ != 0) next_ = w + distance_;
  }

  // At line `i` of a step's kPanels tiles.
  template <int kPanels>
  ONEAI_INLINE void Ask(int64_t i) {
    if ((lines_ >> i & 1u) != 0) AskFor(kPanels);
  }
  // At all lines of a step at once.
  template <int kPanels>
  ONEAI_INLINE void AskAll(int64_t num_lines) {
    for (uint32_t left = lines_ & ((1u << num_lines) - 1u); left != 0; left &= left - 1) {
      AskFor(kPanels);
    }
  }

 private:
  ONEAI_INLINE void AskFor(int num_lines) {
    if (once_) {
      for (int p = 0; p < num_lines; ++p) __builtin_prefetch(next_ + p * kLineBytes, 0, 0);
    } else {
      for (int p = 0; p < num_lines; ++p) __builtin_prefetch(next_ + p * kLineBytes, 0, 3);
    }
    next_ += num_lines * kLineBytes;
  }

  const std::byte** const at_;
  const std::byte* next_;
  const uint32_t lines_;
  const int64_t distance_;
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

// Each including file has its own copy of what follows: GCC 12 emits templates over templates of an
// unnamed namespace as weak symbols, and the linker would give one instruction set the code of
// another.
namespace {

// Runs Tile<rows, panels>, whose extents are known when compiled, of kRowsMin to kRowsMax rows and
// up to kPanelsMax panels.
template <template <int, int> class Tile, int kRowsMax, int kPanelsMax, int kRowsMin = 1>
struct TileRunner {
  static constexpr int64_t kRows = kRowsMax;
  static constexpr int kPanels = kPanelsMax;
  // Weights stream from the second level at a third of what it gives; a chunk for the first would
  // pass the sums through memory every 128 k, which costs a fifth of the speed.
  // With few rows sums are no burden, and a small chunk keeps memory busy most evenly.
  static constexpr int64_t ChunkBytes(int64_t rows) { return rows <= 64 ? 16384 : 131072; }
  static constexpr int64_t kChunkRows = 96;  // that share a chunk of weights

  template <int kCount>
  ONEAI_INLINE void Run(int64_t rows, const GemmTask& task, const TileWork& work) {
    RunAtMost<kRowsMax, kCount>(rows, task, work);
  }

 private:
  template <int kTileRows, int kCount>
  ONEAI_INLINE void RunAtMost(int64_t rows, const GemmTask& task, const TileWork& work) {
    if constexpr (kTileRows > kRowsMin) {
      if (rows < kTileRows) return RunAtMost<kTileRows - 1, kCount>(rows, task, work);
    }
    Tile<kTileRows, kCount>::Run(task, work);
  }
};

// The loop over one task. `Runner` has kRows, kPanels, ChunkBytes() and kChunkRows as above, and
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
  // Depth of a chunk: whole groups of k where they are small, all chunks about as deep.
  int64_t ChunkDepth(int64_t tiles, int64_t rows) const {
    const int64_t depth = IsInteger(layout_.format) ? layout_.padded_k : layout_.k;
    if (tiles == 1) return depth;
    const int64_t bits = FormatBits(layout_.format);
    const int64_t fitting = Runner::ChunkBytes(rows) * 8 / (bits * kBlockOutputs);
    const bool by_groups = IsInteger(layout_.format) && layout_.group_size <= fitting;
    const int64_t unit = by_groups ? layout_.group_size : layout_.tile_k;
    const int64_t units = (depth + unit - 1) / unit;
    const int64_t chunks = (units * unit + fitting - 1) / fitting;
    return (units + chunks - 1) / chunks * unit;
  }

  // The weights of k and after it, of the block that holds `panel`.
  const std::byte* WeightsAt(int64_t panel, int64_t k) const {
    const int64_t first = panel / PackedLayout::kBlockPanels * PackedLayout::kBlockPanels;
    const int64_t group = k / layout_.group_size;
    const int64_t tile = (k - group * layout_.group_size + layout_.tile_k - 1) / layout_.tile_k;
    return task_.w->data() +
           (tile == 0 ? layout_.GroupBegin(first, group) : layout_.TileBegin(first, group, tile));
  }

  void RunRows(int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
    int64_t tiles = 0;
    for (int64_t row = row_begin; row < row_end; row += TileRows(row, row_end, kRows)) ++tiles;
    const int64_t wide = (panel_end - panel_begin) / kPanels * kPanels;
    const int64_t panel_tiles = wide / kPanels + (panel_end - panel_begin - wide);
    const bool is_lone = tiles * panel_tiles == 1;
    const int64_t depth = IsInteger(layout_.format) ? layout_.padded_k : layout_.k;
    const int64_t chunk = ChunkDepth(tiles * panel_tiles, row_end - row_begin);
    const bool is_part = panel_end - panel_begin < layout_.BlockWidth(panel_begin);
    const uint32_t ask_lines = LinesOf(tiles);
    const std::byte* ask_at = nullptr;
    TileWork work;
    work.ask_at = &ask_at;
    work.reads_once = tiles == 1;
    for (work.k_begin = 0; work.k_begin < depth; work.k_begin += chunk) {
      work.k_end = std::min(depth, work.k_begin + chunk);
      work.first = work.k_begin == 0;
      work.last = work.k_end == depth;
      // A little ahead of a lone tile (the hardware's prefetchers restart at each page, this does
      // not), else the next chunk.
      const std::byte* const weights = WeightsAt(panel_begin, work.k_begin);
      ask_at = is_lone ? weights + kStreamAheadBytes : WeightsAt(panel_begin, work.k_end);
      const std::byte* const ask_end = ask_at + (WeightsAt(panel_begin, work.k_end) - weights);
      const int64_t distance = is_part ? ask_at - weights : 0;
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
          work.ask_lines = ask_at < ask_end ? ask_lines : 0;
          work.ask_distance = distance == 0 ? 0 : distance + tile * 16 / tiles * kLineBytes;
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

  // A `tiles`-th of a step's lines, spread evenly. The same for all tiles and steps: a pattern that
  // changed would be predicted wrongly each time.
  uint32_t LinesOf(int64_t tiles) const {
    const int64_t lines = layout_.tile_bytes() / kLineBytes;
    const int64_t count = (lines + tiles - 1) / tiles;
    uint32_t mask = 0;
    for (int64_t i = 0; i < count; ++i) mask |= 1u << (i * lines / count);
    return mask;
  }

  Runner runner_;
  const GemmTask& task_;
  const PackedLayout& layout_;
  alignas(64) float carry_[kChunkRows * kBlockOutputs];
  alignas(64) int32_t group_carry_[kChunkRows * kBlockOutputs];
};

template <template <int, int> class Tile, int kRows, int kPanels, int kRowsMin = 1>
void ForEachTile(const GemmTask& task) {
  TileLoop<TileRunner<Tile, kRows, kPanels, kRowsMin>>(task).Run();
}

// The same with tiles for 32 registers of 16 values: 6 rows x 4 panels, which multiply most per
// load. 7 or 8 rows are one tile of half as many panels instead of two: weights that memory has
// just brought are then read once.
template <template <int, int> class Tile>
void ForEachWideTile(const GemmTask& task) {
  const int64_t rows = task.row_end - task.row_begin;
  if (rows == 7 || rows == 8) return ForEachTile<Tile, 8, 2, 7>(task);
  ForEachTile<Tile, 6, 4>(task);
}

}  // namespace
}  // namespace oneai::kernels
