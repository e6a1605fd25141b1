// Writing and reading single outputs of a packed matrix. Inside kernels/gemm only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/bfloat16.h"
#include "kernels/gemm/packed_layout.h"

namespace oneai::kernels {

// `data` is the first byte of a matrix of `layout`. Different rows may be written at once.
void PackRowBf16(const PackedLayout& layout, int64_t row, const BFloat16* w, std::byte* data);
void PackRowF32(const PackedLayout& layout, int64_t row, const float* w, std::byte* data);

//   codes            [k] in the range of the format
//   scales, offsets  [k / group_size, rounded up], float32 values that the layout's forms hold
//   exactly;
//                    offsets are ignored with OffsetForm::kNone and kUniformZeroPoint
void PackRowCodes(const PackedLayout& layout, int64_t row, const int8_t* codes, const float* scales,
                  const float* offsets, std::byte* data);

// One weight of an integer matrix as it is stored.
struct StoredWeight {
  int code;
  float scale;
  float offset;
};
StoredWeight ReadStored(const PackedLayout& layout, const std::byte* data, int64_t row, int64_t k);

// The zero point z in [-128, 127] for which offset is the float32 -(scale * z); false if none is.
bool ZeroPointOf(float scale, float offset, int* zero_point);

// Reads scale and offset `lane` of a group.
float ReadScale(const PackedLayout& layout, const std::byte* scales, int64_t lane);
float ReadOffset(const PackedLayout& layout, const std::byte* offsets, int64_t lane, float scale);

}  // namespace oneai::kernels
