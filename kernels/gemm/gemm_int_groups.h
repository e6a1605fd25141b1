// Walks the groups of k of one tile of integer products.
#pragma once

#include "kernels/gemm/gemm_tiling.h"

namespace oneai::kernels {
namespace {

// A piece of one group of k: `w` is the tile at `k` of the first panel, the next k are `w_step` on;
// `x` the codes of the first row. Sums start at zero, or at `sums` if the chunk before left them
// there; rows of sums are kBlockOutputs apart. They end there, or in the outputs at once if the
// piece completes its group.
struct GroupPiece {
  const std::byte* w;
  int64_t w_step;
  const int8_t* x;
  int64_t x_step;  // from 64 k to the next
  int64_t k, k_end;
  bool continues, completes;
  int64_t group;
  const std::byte* group_data;
  int32_t* sums;
  const std::byte** ask_at;  // these four as in TileWork
  uint32_t ask_lines;
  int64_t ask_distance;
  bool reads_once;

  const int8_t* CodesAt(int64_t at) const { return x + at / kCodeStep * x_step + at % kCodeStep; }
};

// Asks for the scales of a later group, as for its codes, where groups are small; else for those of
// the group that begins, which needs them at its end.
template <class Piece>  // GroupPiece or the like
ONEAI_INLINE void AskForParameters(const Piece& piece, const std::byte* group_data,
                                   int64_t parameter_bytes, int64_t group_bytes) {
  const bool is_small = group_bytes <= kStreamAheadBytes;
  const std::byte* from = is_small ? *piece.ask_at : group_data;
  if (is_small && piece.ask_distance != 0) from = group_data + piece.ask_distance;
  for (int64_t i = 0; i < parameter_bytes; i += kLineBytes) __builtin_prefetch(from + i);
  if (is_small) *piece.ask_at = from + parameter_bytes;
}

// Calls run(piece) for every piece of work's depth.
template <typename Run>
ONEAI_INLINE void ForEachPiece(const GemmTask& task, const TileWork& work, Run run) {
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
                   .ask_at = work.ask_at,
                   .ask_lines = work.ask_lines,
                   .ask_distance = work.ask_distance,
                   .reads_once = work.reads_once};
  const int64_t parameter_bytes = layout.ParameterBytes(width);
  for (int64_t k = work.k_begin; k < work.k_end; k = piece.k_end) {
    if ((piece.ask_lines & 1u) != 0 && in_group == 0) {
      AskForParameters(piece, group_data, parameter_bytes, group_bytes);
    }
    piece.w = group_data + first_tile + in_group / layout.tile_k * piece.w_step;
    piece.k = k;
    piece.k_end = std::min(group_end, work.k_end);
    piece.continues = in_group > 0;
    piece.completes = piece.k_end == group_end;
    piece.group = group;
    piece.group_data = group_data;
    run(piece);
    if (!piece.completes) break;
    ++group;
    group_end += layout.group_size;
    group_data += group_bytes;
    in_group = 0;
  }
}

// The same in two steps: accumulate(piece), which leaves sums in memory, and scale(group, group's
// first byte) where a group is complete.
template <typename Accumulate, typename Scale>
ONEAI_INLINE void ForEachGroup(const GemmTask& task, const TileWork& work, Accumulate accumulate,
                               Scale scale) {
  ForEachPiece(task, work, [&](const GroupPiece& piece) {
    accumulate(piece);
    if (piece.completes) scale(piece.group, piece.group_data);
  });
}

}  // namespace
}  // namespace oneai::kernels
