// Products on AMX tiles, as templates on the tile unit: gemm_amx.cc runs them on the hardware, the
// test on tiles in software, so that packing and loops are proved on machines without the unit.
//
// A tile of x (up to 16 rows x 64 bytes) meets the tiles of four panels (16 rows x 64 bytes each,
// one KiB of w as it lies in memory) in four tiles of sums. Weights of a chunk of depth stay in the
// first cache while all rows pass, so the unit is fed from there: five loads of 16 rows for four
// products of 16 cycles. Every sum takes its products in order of k, whatever the shape of the work
// around it. Source: Intel SDM, TDPBF16PS, TDPBSUD, LDTILECFG.
//
// `Tiles` has Configure(TileConfig), Release(), Zero<t>(), Load<t>(from, stride), Store<t>(to,
// stride), MultiplyBf16<c, a, b>() and MultiplyInt8<c, a, b>() (c += signed a times unsigned b).
#pragma once

#include <cstdint>

#include "kernels/gemm/gemm_int_groups.h"
#include "kernels/gemm/gemm_int_scale.h"
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

inline constexpr int64_t kCarryRowBytes = kBlockOutputs * int64_t{sizeof(float)};

// Tiles 0-3 are sums, 4 is x, 5 to 7 are w in turn.
template <class Tiles>
class TileUnit {
 public:
  ~TileUnit() {
    if (key_ >= 0) Tiles::Release();
  }

  // Shapes for `rows` rows of x with `x_bytes` bytes each. Configuring clears all tiles and takes
  // some hundred cycles, so it is done when shapes change.
  void Configure(int64_t rows, int64_t x_bytes) {
    const int64_t key = rows * 128 + x_bytes;
    if (key == key_) return;
    key_ = key;
    TileConfig config;
    for (int tile = 0; tile < 8; ++tile) {
      config.rows[tile] = static_cast<uint8_t>(tile < 5 ? rows : x_bytes / 4);
      config.row_bytes[tile] = static_cast<uint16_t>(tile == 4 ? x_bytes : kLineBytes);
    }
    Tiles::Configure(config);
  }

  // Starts the sums of `kPanels` panels at zero, or at `from`.
  template <int kPanels, typename T>
  static void Begin(const T* from) {
    if (from == nullptr) {
      Tiles::template Zero<0>();
      if constexpr (kPanels == 4) {
        Tiles::template Zero<1>();
        Tiles::template Zero<2>();
        Tiles::template Zero<3>();
      }
      return;
    }
    Tiles::template Load<0>(from, kCarryRowBytes);
    if constexpr (kPanels == 4) {
      Tiles::template Load<1>(from + 16, kCarryRowBytes);
      Tiles::template Load<2>(from + 32, kCarryRowBytes);
      Tiles::template Load<3>(from + 48, kCarryRowBytes);
    }
  }

  template <int kPanels, typename T>
  static void End(T* to, int64_t row_bytes) {
    Tiles::template Store<0>(to, row_bytes);
    if constexpr (kPanels == 4) {
      Tiles::template Store<1>(to + 16, row_bytes);
      Tiles::template Store<2>(to + 32, row_bytes);
      Tiles::template Store<3>(to + 48, row_bytes);
    }
  }

 private:
  int64_t key_ = -1;
};

// Asks for this tile's share of the lines of `panels` tiles of w, `ahead` bytes on.
inline void PrefetchShare(const std::byte* w, int64_t panels, int64_t tile_bytes, uint32_t lines,
                          int64_t ahead) {
  const int64_t num_lines = tile_bytes / kLineBytes;
  for (; lines != 0; lines &= lines - 1) {
    const int line = __builtin_ctz(lines);
    if (line >= num_lines) return;
    for (int64_t p = 0; p < panels; ++p) {
      __builtin_prefetch(w + p * tile_bytes + line * kLineBytes + ahead);
    }
  }
}

// bf16 weights.
template <class Tiles>
class Bf16OnTiles {
 public:
  static constexpr int64_t kRows = kRowGroup;
  static constexpr int kPanels = 4;
  static constexpr int64_t kChunkBytes = 32768;

  template <int kCount>
  void Run(int64_t rows, const GemmTask& task, const TileWork& work) {
    static_assert(kRowGroup == 16 && kDepthStep == 32 && PackedMatrix::kPanelOutputs == 16);
    unit_.Configure(rows, kLineBytes);
    const PairRows x_rows = LocatePairs(task, work.row);
    const TileStream stream = StreamOf(task, work.panel);
    const int32_t* x = x_rows.data + work.k_begin / kDepthStep * x_rows.step;
    const std::byte* w = stream.data + work.k_begin / kDepthStep * stream.step;
    unit_.template Begin<kCount>(work.first ? nullptr : work.carry);
    for (int64_t k = work.k_begin; k < work.k_end; k += kDepthStep) {
      PrefetchShare(w, kCount, kTileBytes, work.prefetch_lines, work.ahead_bytes);
      Tiles::template Load<4>(x, kLineBytes);
      Tiles::template Load<5>(w, kLineBytes);
      Tiles::template MultiplyBf16<0, 4, 5>();
      if constexpr (kCount == 4) {
        Tiles::template Load<6>(w + kTileBytes, kLineBytes);
        Tiles::template MultiplyBf16<1, 4, 6>();
        Tiles::template Load<7>(w + 2 * kTileBytes, kLineBytes);
        Tiles::template MultiplyBf16<2, 4, 7>();
        Tiles::template Load<5>(w + 3 * kTileBytes, kLineBytes);
        Tiles::template MultiplyBf16<3, 4, 5>();
      }
      x += x_rows.step;
      w += stream.step;
    }
    const bool whole = PanelOutputs(task, work.panel + kCount - 1) == PackedMatrix::kPanelOutputs;
    if (work.last && task.bias == nullptr && whole) {
      float* y = task.y + work.row * task.y_stride + work.panel * PackedMatrix::kPanelOutputs;
      unit_.template End<kCount>(y, task.y_stride * static_cast<int64_t>(sizeof(float)));
      return;
    }
    unit_.template End<kCount>(work.carry, kCarryRowBytes);
    if (work.last) StoreFromCarry(task, work, rows, kCount);
  }

 private:
  TileUnit<Tiles> unit_;
};

// int8 and int4 weights; `Scale` is PortableScale or one with its bits. int4 codes of a step are
// unpacked into bytes that stay in the first cache.
template <class Tiles, class Scale, int kBits>
class IntOnTiles {
 public:
  static constexpr int64_t kRows = kRowGroup;
  static constexpr int kPanels = 4;
  static constexpr int64_t kChunkBytes = 32768;

  template <int kCount>
  void Run(int64_t rows, const GemmTask& task, const TileWork& work) {
    const PackedLayout& layout = task.w->layout();
    unit_.Configure(rows, layout.tile_k);
    ForEachGroup(
        task, work,
        [&](const GroupPiece& piece) {
          Accumulate<kCount>(piece, layout.tile_k, layout.tile_bytes());
        },
        [&](int64_t group, const std::byte* group_data) {
          Scale::Run(task, work, rows, kCount, group, group_data);
        });
    if (work.last) StoreFromCarry(task, work, rows, kCount);
  }

 private:
  template <int kCount>
  void Accumulate(const GroupPiece& piece, int64_t tile_k, int64_t tile_bytes) {
    unit_.template Begin<kCount>(piece.continues ? piece.sums : nullptr);
    const std::byte* w = piece.w;
    for (int64_t k = piece.k; k < piece.k_end; k += tile_k, w += piece.w_step) {
      PrefetchShare(w, kCount, tile_bytes, piece.prefetch_lines, piece.ahead_bytes);
      Tiles::template Load<4>(piece.CodesAt(k), kCodeStep);
      Tiles::template Load<5>(Bytes(w, tile_bytes, 0), kLineBytes);
      Tiles::template MultiplyInt8<0, 4, 5>();
      if constexpr (kCount == 4) {
        Tiles::template Load<6>(Bytes(w, tile_bytes, 1), kLineBytes);
        Tiles::template MultiplyInt8<1, 4, 6>();
        Tiles::template Load<7>(Bytes(w, tile_bytes, 2), kLineBytes);
        Tiles::template MultiplyInt8<2, 4, 7>();
        Tiles::template Load<5>(Bytes(w, tile_bytes, 3), kLineBytes);
        Tiles::template MultiplyInt8<3, 4, 5>();
      }
    }
    unit_.template End<kCount>(piece.sums, kCarryRowBytes);
  }

  // The tile of panel `panel` as bytes.
  const std::byte* Bytes(const std::byte* w, int64_t tile_bytes, int panel) {
    const std::byte* from = w + panel * tile_bytes;
    if constexpr (kBits == 8) return from;
    std::byte* to = unpacked_[panel];
    for (int64_t line = 0; line < tile_bytes; line += kLineBytes) {
      for (int64_t i = 0; i < kLineBytes; ++i) {
        to[2 * line + i] = from[line + i] & std::byte{0x0f};
        to[2 * line + kLineBytes + i] = from[line + i] >> 4;
      }
    }
    return to;
  }

  TileUnit<Tiles> unit_;
  alignas(64) std::byte unpacked_[kBits == 4 ? 4 : 1][kTileBytes];
};

}  // namespace oneai::kernels
