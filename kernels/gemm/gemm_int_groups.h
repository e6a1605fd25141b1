// Walks the groups of k of one tile of integer products.
#pragma once

#include "kernels/gemm/gemm_tiling.h"

namespace oneai::kernels {
namespace {

// A piece of one group of k: `w` is the tile at `k` of the first panel, the next k are `w_step` on;
// `x` the codes of the first row. Sums start at zero, or at `sums` if the chunk before left them
// there, and end there; rows of sums are kBlockOutputs apart.
struct GroupPiece {
  const std::byte* w;
  int64_t w_step;
  const int8_t* x;
  int64_t x_step;  // from 64 k to the next
  int64_t k, k_end;
  bool continues;
  int32_t* sums;
  int64_t ahead_bytes;
  uint32_t prefetch_lines;

  const int8_t* CodesAt(int64_t at) const { return x + at / kCodeStep * x_step + at % kCodeStep; }
};

// Calls accumulate(piece) for every piece of work's depth, and scale(group, group's first byte)
// where a group is complete.
template <typename Accumulate, typename Scale>
inline __attribute__((always_inline)) void ForEachGroup(const GemmTask& task, const TileWork& work,
                                                        Accumulate accumulate, Scale scale) {
  const PackedLayout& layout = task.w->layout();
  const int64_t width = layout.BlockWidth(work.panel);
  const CodeTileRows x = LocateCodes(task, work.row);
  const int64_t group_bytes = layout.GroupBytes(width);
  const int64_t first_tile =
      layout.ParameterBytes(width) + work.panel % PackedLayout::kBlockPanels * layout.tile_bytes();
  int64_t group = work.k_begin / layout.group_size;
  int64_t group_end = (group + 1) * layout.group_size;
  int64_t in_group = work.k_begin - group * layout.group_size;
  const std::byte* group_data = task.w->data() + layout.GroupBegin(work.panel, group);
  GroupPiece piece{.w_step = width * layout.tile_bytes(),
                   .x = x.data,
                   .x_step = x.step,
                   .sums = work.group_carry,
                   .ahead_bytes = work.ahead_bytes,
                   .prefetch_lines = work.prefetch_lines};
  // Scales are asked for as the codes are: of a later group where groups are small, else of this
  // one, which needs them at its end.
  const int64_t parameter_bytes = layout.ParameterBytes(width);
  const int64_t parameters_ahead = group_bytes > kStreamAheadBytes ? 0 : work.ahead_bytes;
  const bool prefetches = (work.prefetch_lines & 1u) != 0;
  for (int64_t k = work.k_begin; k < work.k_end; k = piece.k_end) {
    if (prefetches && in_group == 0) {
      for (int64_t i = 0; i < parameter_bytes; i += kLineBytes) {
        __builtin_prefetch(group_data + i + parameters_ahead);
      }
    }
    piece.w = group_data + first_tile + in_group / layout.tile_k * piece.w_step;
    piece.k = k;
    piece.k_end = std::min(group_end, work.k_end);
    piece.continues = in_group > 0;
    accumulate(piece);
    if (piece.k_end < group_end) break;
    scale(group, group_data);
    ++group;
    group_end += layout.group_size;
    group_data += group_bytes;
    in_group = 0;
    // Small groups have few lines: each time others come first.
    piece.prefetch_lines = (piece.prefetch_lines >> 4 | piece.prefetch_lines << 12) & 0xffffu;
  }
}

}  // namespace
}  // namespace oneai::kernels
