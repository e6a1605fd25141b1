// Where each weight lies in a PackedMatrix: the order in which matrix units read it.
//
// One layout per format serves every instruction set. The N outputs are cut into panels of 16 and
// panels into blocks of 4 (the last may be narrower). A block is one contiguous stream over k, so
// that decoding reads memory in order, whatever the number of panels it works on:
//
//   bf16, float32   for each step of 32 (16) k: the tile of panel 0, of panel 1, ... 3
//   int8, int4      for each group of k: the scales of panels 0 ... 3 (16 each), then their
//   offsets,
//                   padded to 64 bytes; then for each step of `tile_k` k: tile of panel 0, 1, ... 3
//
// Within a tile, rows of 64 bytes hold for all 16 outputs in turn
//
//   float32  1 k     bf16  2 consecutive k     int8  4 consecutive k, as code + 128 (unsigned)
//   int4     8 consecutive k: byte i of an output holds code k + i in its low and code k + 4 + i in
//            its high half
//
// So a row is one AVX-512 register (or, for int4, two after one mask and shift) and 16 rows are an
// AMX tile in "VNNI" order. K is padded to a multiple of 32 (dense) or 64 (integers) with codes
// that meet zeros in x, N to a multiple of 16 with zeros.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/gemm/weight_format.h"

// Everywhere expanded in place: a copy compiled for one instruction set must not serve another.
#define ONEAI_INLINE inline __attribute__((always_inline))

namespace oneai::kernels {

// How scales and offsets are stored. float16 is taken where every value of the matrix is exact in
// it, and zero points where every offset is exactly -(scale * an integer of 8 bits), which may be
// one for the whole matrix.
enum class ScaleForm : uint32_t { kFloat32 = 0, kFloat16 = 1 };
enum class OffsetForm : uint32_t {
  kNone = 0,
  kUniformZeroPoint = 1,
  kZeroPoint = 2,
  kFloat16 = 3,
  kFloat32 = 4
};

struct PackedLayout {
  static constexpr int64_t kPanelOutputs = 16;
  static constexpr int64_t kBlockPanels = 4;
  // Bump when any byte of the packed form changes its meaning; files of another version are
  // refused.
  static constexpr uint32_t kVersion = 1;

  WeightFormat format = WeightFormat::kBFloat16;
  ScaleForm scale_form = ScaleForm::kFloat32;  // integers only
  OffsetForm offset_form = OffsetForm::kNone;  // integers only
  int64_t zero_point = 0;                      // kUniformZeroPoint only
  int64_t n = 0;
  int64_t k = 0;
  int64_t padded_k = 0;
  int64_t group_size =
      0;               // k that share a scale, divides padded_k; padded_k itself: one per output
  int64_t tile_k = 0;  // k of one tile

  // Sets padded_k, group_size and tile_k of a matrix. Integers: `group_size` is k or a multiple
  // of 16.
  static PackedLayout Make(WeightFormat format, int64_t n, int64_t k, int64_t group_size);

  ONEAI_INLINE int64_t num_panels() const { return (n + kPanelOutputs - 1) / kPanelOutputs; }
  ONEAI_INLINE int64_t num_groups() const { return padded_k / group_size; }
  ONEAI_INLINE int64_t bytes() const { return num_panels() == 0 ? 0 : PanelsBefore(num_panels()); }

  // Panels of the block that holds `panel`: 4, or fewer in the last block.
  ONEAI_INLINE int64_t BlockWidth(int64_t panel) const {
    return std::min(kBlockPanels, num_panels() - panel / kBlockPanels * kBlockPanels);
  }
  ONEAI_INLINE int64_t tile_bytes() const {
    return tile_k * kPanelOutputs * FormatBits(format) / 8;
  }
  ONEAI_INLINE int64_t scale_bytes() const { return scale_form == ScaleForm::kFloat32 ? 64 : 32; }
  ONEAI_INLINE int64_t offset_bytes() const {
    constexpr int64_t kBytes[] = {0, 0, 16, 32, 64};
    return kBytes[static_cast<int>(offset_form)];
  }
  // Scales and offsets of one group of a block of `width` panels.
  ONEAI_INLINE int64_t ParameterBytes(int64_t width) const {
    if (!IsInteger(format)) return 0;
    return (width * (scale_bytes() + offset_bytes()) + 63) / 64 * 64;
  }
  ONEAI_INLINE int64_t GroupBytes(int64_t width) const {
    return ParameterBytes(width) + width * (group_size / tile_k) * tile_bytes();
  }
  ONEAI_INLINE int64_t BlockBytes(int64_t width) const { return num_groups() * GroupBytes(width); }

  // First byte of the block that holds `panel`.
  ONEAI_INLINE int64_t BlockBegin(int64_t panel) const {
    return panel / kBlockPanels * BlockBytes(kBlockPanels);
  }
  // First byte of group `group` of the block that holds `panel`.
  ONEAI_INLINE int64_t GroupBegin(int64_t panel, int64_t group) const {
    return BlockBegin(panel) + group * GroupBytes(BlockWidth(panel));
  }
  // First byte of tile `tile` (within its group) of `panel`.
  ONEAI_INLINE int64_t TileBegin(int64_t panel, int64_t group, int64_t tile) const {
    const int64_t width = BlockWidth(panel);
    return GroupBegin(panel, group) + ParameterBytes(width) +
           (tile * width + panel % kBlockPanels) * tile_bytes();
  }
  ONEAI_INLINE int64_t ScaleBegin(int64_t panel, int64_t group) const {
    return GroupBegin(panel, group) + panel % kBlockPanels * scale_bytes();
  }
  ONEAI_INLINE int64_t OffsetBegin(int64_t panel, int64_t group) const {
    return GroupBegin(panel, group) + BlockWidth(panel) * scale_bytes() +
           panel % kBlockPanels * offset_bytes();
  }

 private:
  // Bytes of the first `panels` panels, which fill whole blocks or all of the matrix.
  ONEAI_INLINE int64_t PanelsBefore(int64_t panels) const {
    const int64_t rest = panels % kBlockPanels;
    return panels / kBlockPanels * BlockBytes(kBlockPanels) + (rest > 0 ? BlockBytes(rest) : 0);
  }
};

}  // namespace oneai::kernels
