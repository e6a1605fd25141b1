// Cuts a task into register tiles: full tiles first, then the same code with fewer rows or panels.
// Panels are the outer loop, so that a group of panels stays in the second-level cache while all
// rows pass over it; w is read from memory once.
#pragma once

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/round_rows.h"

namespace oneai::kernels {

// Outputs of a panel that exist: 16, or fewer in the last one.
inline __attribute__((always_inline)) int PanelOutputs(const GemmTask& task, int64_t panel) {
  const int64_t left = task.w->n() - panel * PackedMatrix::kPanelOutputs;
  return static_cast<int>(left < PackedMatrix::kPanelOutputs ? left : PackedMatrix::kPanelOutputs);
}

// Points `x` at the bf16 pairs of `row`; `step` is the distance in pairs from one group of 32 k to
// the next.
inline __attribute__((always_inline)) void LocatePairs(const GemmTask& task, int64_t row,
                                                       const int32_t*& x, int64_t& step) {
  const int64_t group_begin = row / kRowGroup * kRowGroup;
  const int64_t left = task.m - group_begin;
  const int64_t group_rows = left < kRowGroup ? left : kRowGroup;
  x = static_cast<const int32_t*>(task.x) +
      (group_begin * task.w->padded_k() + (row - group_begin) * kDepthStep) / 2;
  step = group_rows * kDepthStep / 2;
}

// Tiles of a panel of dense weights: tile s is at data + s * step.
struct TileStream {
  const std::byte* data;
  int64_t step;
};
inline __attribute__((always_inline)) TileStream StreamOf(const GemmTask& task, int64_t panel) {
  const PackedLayout& layout = task.w->layout();
  return {task.w->data() + layout.TileBegin(panel, 0, 0),
          layout.BlockWidth(panel) * layout.tile_bytes()};
}

// How a tile asks for weights before they are needed. With one row tile, w itself is the stream:
// ask a little ahead of the loads (the hardware prefetcher restarts at each 4 KiB page, this does
// not). With several, they share the work of fetching the next group of panels while they compute
// on this one, each every num_tiles-th step of 32 k, so that memory and arithmetic overlap.
struct PrefetchPlan {
  int64_t bytes_ahead;
  int64_t num_tiles;
  int64_t tile;

  inline __attribute__((always_inline)) bool Covers(int64_t step) const {
    return step % num_tiles == tile;
  }
};

inline constexpr int64_t kStreamAheadBytes = 8192;

// Asks for a tile of 1 KiB.
inline __attribute__((always_inline)) void PrefetchTile(const std::byte* tile) {
  for (int64_t i = 0; i < 1024; i += 64) __builtin_prefetch(tile + i);
}

inline __attribute__((always_inline)) PrefetchPlan PlanPrefetch(int64_t num_tiles, int64_t tile,
                                                                int64_t group_bytes) {
  return num_tiles == 1 ? PrefetchPlan{kStreamAheadBytes, 1, 0}
                        : PrefetchPlan{group_bytes, num_tiles, tile};
}

// Runs Tile<r, kPanels> over all rows, r = kRows except at the end.
template <template <int, int> class Tile, int kRows, int kPanels>
inline __attribute__((always_inline)) void ForEachRowTile(const GemmTask& task, int64_t panel) {
  const int64_t num_tiles = (task.row_end - task.row_begin + kRows - 1) / kRows;
  const int64_t group_bytes = task.w->layout().BlockBytes(kPanels);
  int64_t row = task.row_begin;
  int64_t tile = 0;
  for (; row + kRows <= task.row_end; row += kRows, ++tile) {
    Tile<kRows, kPanels>::Run(task, row, panel, PlanPrefetch(num_tiles, tile, group_bytes));
  }
  const PrefetchPlan last = PlanPrefetch(num_tiles, tile, group_bytes);
  switch (task.row_end - row) {
    case 1:
      return Tile<1, kPanels>::Run(task, row, panel, last);
    case 2:
      return Tile<2, kPanels>::Run(task, row, panel, last);
    case 3:
      return Tile<3, kPanels>::Run(task, row, panel, last);
    case 4:
      return Tile<4, kPanels>::Run(task, row, panel, last);
    case 5:
      return Tile<5, kPanels>::Run(task, row, panel, last);
    default:
      return;
  }
}

// Panels of a block lie interleaved and are taken together where the task holds all of them.
template <template <int, int> class Tile, int kRows, int kPanels>
void ForEachTile(const GemmTask& task) {
  static_assert(kRows <= 6 && PackedLayout::kBlockPanels % kPanels == 0);
  int64_t panel = task.panel_begin;
  while (panel < task.panel_end) {
    if (panel % kPanels == 0 && panel + kPanels <= task.panel_end) {
      ForEachRowTile<Tile, kRows, kPanels>(task, panel);
      panel += kPanels;
    } else {
      ForEachRowTile<Tile, kRows, 1>(task, panel);
      ++panel;
    }
  }
}

}  // namespace oneai::kernels
