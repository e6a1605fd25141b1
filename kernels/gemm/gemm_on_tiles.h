// The loop over AMX tiles, as a template on the tile unit: gemm_amx.cc runs it on the hardware, the
// test also on tiles in software, so that it is proved on machines without the unit.
//
// Tiles: C is rows x 16 outputs of float32, A is rows x 32 k, B is 16 pairs of k x 16 outputs.
// Every C tile takes its products in order of k, whatever the shape of the block around it, so an
// output's bits depend neither on the number of rows nor on the thread. Source: Intel SDM,
// TDPBF16PS.
#pragma once

#include <cstdint>

#include "kernels/gemm/gemm_tiling.h"

namespace oneai::kernels {

// Memory operand of LDTILECFG, palette 1.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

inline constexpr int64_t kTileRowBytes = 64;

// Tiles 0-3 are C, 4 and 5 are A, 6 and 7 are B (with one row of tiles: 4 is A, 5 to 7 are B).
// How a block of tiles asks for weights before they are needed. With one row of tiles, w itself is
// the stream. With several, they share the work of fetching the next group of panels while they
// compute on this one, each every num_tiles-th step of 32 k, so that memory and arithmetic overlap.
struct PrefetchPlan {
  int64_t bytes_ahead;
  int64_t num_tiles;
  int64_t tile;

  bool Covers(int64_t step) const { return step % num_tiles == tile; }
};

inline PrefetchPlan PlanPrefetch(int64_t num_tiles, int64_t tile, int64_t group_bytes) {
  return num_tiles == 1 ? PrefetchPlan{kStreamAheadBytes, 1, 0}
                        : PrefetchPlan{group_bytes, num_tiles, tile};
}

inline void PrefetchTile(const std::byte* tile) {
  for (int64_t i = 0; i < kTileBytes; i += kLineBytes) __builtin_prefetch(tile + i);
}

template <class Tiles>
class AmxLoop {
 public:
  explicit AmxLoop(const GemmTask& task) : task_(task), steps_(task.w->padded_k() / kDepthStep) {}

  void Run() {
    const bool few_rows = task_.row_end - task_.row_begin <= kRowGroup;
    int64_t panel = task_.panel_begin;
    if (few_rows) {
      for (; panel % 4 == 0 && panel + 4 <= task_.panel_end; panel += 4) {
        OneGroup(task_.row_begin, panel);
      }
    }
    for (; panel + 2 <= task_.panel_end; panel += 2) ForEachGroupPair<2>(panel);
    if (panel < task_.panel_end) ForEachGroupPair<1>(panel);
    Tiles::Release();
  }

 private:
  static_assert(kRowGroup == 16 && kDepthStep == 32 && PackedMatrix::kPanelOutputs == 16);

  int RowsAt(int64_t row) const {
    const int64_t left = task_.row_end - row;
    return static_cast<int>(left < kRowGroup ? (left < 0 ? 0 : left) : kRowGroup);
  }

  // A tiles of the group that starts at `row`; consecutive steps are `rows` tile rows apart.
  const std::byte* TilesOfGroup(int64_t row) const {
    return static_cast<const std::byte*>(task_.x) + row * task_.w->padded_k() * 2;
  }

  // C tiles 0 and 1 have `upper` rows, 2 and 3 `lower`; with one row of tiles all four have
  // `upper`.
  void Configure(int upper, int lower, bool one_group) {
    const int key = upper * 64 + lower * 2 + (one_group ? 1 : 0);
    if (key == configured_) return;
    configured_ = key;
    TileConfig config;
    const int second = one_group ? upper : (lower > 0 ? lower : 1);
    const int rows[8] = {upper, upper, second, second, upper, one_group ? 16 : second, 16, 16};
    for (int tile = 0; tile < 8; ++tile) {
      config.rows[tile] = static_cast<uint8_t>(rows[tile]);
      config.row_bytes[tile] = kTileRowBytes;
    }
    Tiles::Configure(config);
  }

  template <int kTile>
  void StoreC(int64_t row, int rows, int64_t panel) {
    const int outputs = PanelOutputs(task_, panel);
    const int64_t n = panel * PackedMatrix::kPanelOutputs;
    float* y = task_.y + row * task_.y_stride + n;
    if (task_.bias == nullptr && outputs == 16) {
      Tiles::template Store<kTile>(y, task_.y_stride * static_cast<int64_t>(sizeof(float)));
      return;
    }
    alignas(64) float values[16 * 16];
    Tiles::template Store<kTile>(values, kTileRowBytes);
    for (int r = 0; r < rows; ++r) {
      for (int i = 0; i < outputs; ++i) {
        const float bias = task_.bias != nullptr ? task_.bias[n + i] : 0.0f;
        y[r * task_.y_stride + i] = values[r * 16 + i] + bias;
      }
    }
  }

  // Up to 16 rows: one A tile and four panels, bound by reading w.
  void OneGroup(int64_t row, int64_t panel) {
    const int rows = RowsAt(row);
    Configure(rows, 0, true);
    const std::byte* a = TilesOfGroup(row);
    const TileStream b[4] = {StreamOf(task_, panel), StreamOf(task_, panel + 1),
                             StreamOf(task_, panel + 2), StreamOf(task_, panel + 3)};
    Tiles::template Zero<0>();
    Tiles::template Zero<1>();
    Tiles::template Zero<2>();
    Tiles::template Zero<3>();
    for (int64_t s = 0; s < steps_; ++s) {
      for (int p = 0; p < 4; ++p) PrefetchTile(b[p].data + s * b[p].step + kStreamAheadBytes);
      Tiles::template Load<4>(a + s * rows * kTileRowBytes, kTileRowBytes);
      Tiles::template Load<5>(b[0].data + s * b[0].step, kTileRowBytes);
      Tiles::template MultiplyAdd<0, 4, 5>();
      Tiles::template Load<6>(b[1].data + s * b[1].step, kTileRowBytes);
      Tiles::template MultiplyAdd<1, 4, 6>();
      Tiles::template Load<7>(b[2].data + s * b[2].step, kTileRowBytes);
      Tiles::template MultiplyAdd<2, 4, 7>();
      Tiles::template Load<5>(b[3].data + s * b[3].step, kTileRowBytes);
      Tiles::template MultiplyAdd<3, 4, 5>();
    }
    StoreC<0>(row, rows, panel);
    StoreC<1>(row, rows, panel + 1);
    StoreC<2>(row, rows, panel + 2);
    StoreC<3>(row, rows, panel + 3);
  }

  template <int kPanels>
  void ForEachGroupPair(int64_t panel) {
    const int64_t num_blocks =
        (task_.row_end - task_.row_begin + 2 * kRowGroup - 1) / (2 * kRowGroup);
    int64_t block = 0;
    for (int64_t row = task_.row_begin; row < task_.row_end; row += 2 * kRowGroup, ++block) {
      const PrefetchPlan prefetch =
          PlanPrefetch(num_blocks, block, task_.w->layout().BlockBytes(PackedLayout::kBlockPanels));
      const int upper = RowsAt(row);
      const int lower = RowsAt(row + kRowGroup);
      Configure(upper, lower, false);
      if (lower > 0) {
        Block<2, kPanels>(row, upper, lower, panel, prefetch);
      } else {
        Block<1, kPanels>(row, upper, lower, panel, prefetch);
      }
    }
  }

  // kGroups x kPanels accumulator tiles, bound by the matrix unit.
  template <int kGroups, int kPanels>
  void Block(int64_t row, int upper, int lower, int64_t panel, const PrefetchPlan& prefetch) {
    const std::byte* a0 = TilesOfGroup(row);
    const std::byte* a1 = TilesOfGroup(row + kRowGroup);
    const TileStream b0 = StreamOf(task_, panel);
    const TileStream b1 = StreamOf(task_, panel + kPanels - 1);
    Tiles::template Zero<0>();
    if constexpr (kPanels == 2) Tiles::template Zero<1>();
    if constexpr (kGroups == 2) Tiles::template Zero<2>();
    if constexpr (kGroups == 2 && kPanels == 2) Tiles::template Zero<3>();
    for (int64_t s = 0; s < steps_; ++s) {
      if (prefetch.Covers(s)) {
        PrefetchTile(b0.data + s * b0.step + prefetch.bytes_ahead);
        if constexpr (kPanels == 2) PrefetchTile(b1.data + s * b1.step + prefetch.bytes_ahead);
      }
      Tiles::template Load<6>(b0.data + s * b0.step, kTileRowBytes);
      Tiles::template Load<4>(a0 + s * upper * kTileRowBytes, kTileRowBytes);
      Tiles::template MultiplyAdd<0, 4, 6>();
      if constexpr (kPanels == 2) {
        Tiles::template Load<7>(b1.data + s * b1.step, kTileRowBytes);
        Tiles::template MultiplyAdd<1, 4, 7>();
      }
      if constexpr (kGroups == 2) {
        Tiles::template Load<5>(a1 + s * lower * kTileRowBytes, kTileRowBytes);
        Tiles::template MultiplyAdd<2, 5, 6>();
        if constexpr (kPanels == 2) Tiles::template MultiplyAdd<3, 5, 7>();
      }
    }
    StoreC<0>(row, upper, panel);
    if constexpr (kPanels == 2) StoreC<1>(row, upper, panel + 1);
    if constexpr (kGroups == 2) StoreC<2>(row + kRowGroup, lower, panel);
    if constexpr (kGroups == 2 && kPanels == 2) StoreC<3>(row + kRowGroup, lower, panel + 1);
  }

  const GemmTask& task_;
  const int64_t steps_;
  int configured_ = -1;
};

// Computes the task; its rows begin on a multiple of 16.
template <class Tiles>
void GemmOnTiles(const GemmTask& task) {
  if (task.row_begin < task.row_end && task.panel_begin < task.panel_end) {
    AmxLoop<Tiles>(task).Run();
  }
}

}  // namespace oneai::kernels
