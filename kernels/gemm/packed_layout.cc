#include "kernels/gemm/packed_layout.h"

namespace oneai::kernels {
namespace {

int64_t RoundUp(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }

}  // namespace

PackedLayout PackedLayout::Make(WeightFormat format, int64_t n, int64_t k, int64_t group_size) {
  PackedLayout layout;
  layout.format = format;
  layout.n = n;
  layout.k = k;
  if (!IsInteger(format)) {
    layout.padded_k = RoundUp(k, 32);
    layout.group_size = layout.padded_k;
    layout.tile_k = format == WeightFormat::kFloat32 ? 16 : 32;
    return layout;
  }
  if (group_size == k) {
    layout.padded_k = RoundUp(k, 64);
    layout.group_size = layout.padded_k;
    layout.tile_k = 64;
    return layout;
  }
  layout.group_size = group_size;
  layout.tile_k = group_size % 64 == 0 ? 64 : (group_size % 32 == 0 ? 32 : 16);
  // Whole groups and whole steps of 64, in which x comes.
  layout.padded_k = RoundUp(k, group_size);
  while (layout.padded_k % 64 != 0) layout.padded_k += group_size;
  return layout;
}

}  // namespace oneai::kernels
