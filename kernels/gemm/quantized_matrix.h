// Integer weights as files hold them, before they are packed.
//
// Every integer format that oneai reads (GPTQ, AWQ, GGUF's block types) or makes (int8 per channel,
// int4 by groups) is the same affine map of small codes,
//
//   w[n][k] = scale[n][k / group_size] * code[n][k] + offset[n][k / group_size]
//
// so one description carries them all from the file to PackedMatrix without a rounding in between.
// Sources: arXiv:2210.17323 (GPTQ), arXiv:2306.00978 (AWQ), ggml's ggml-common.h (block types).
#pragma once

#include <cstdint>

namespace oneai::kernels {

//   codes         [n, k] one byte each, rows without gaps: [-128, 127] with bits = 8 (types of
//   fewer
//                 bits that have no packed form of their own are widened to it), [0, 15] with bits
//                 = 4
//   scales        [n, k / group_size]
//   offsets       the same, or null: all zero
//   column_order  [k] or null: column j of `codes` multiplies input column_order[j] (GPTQ's
//   act-order,
//                 whose groups are contiguous only in this order)
// group_size divides k; it is k itself for one scale per output.
struct QuantizedMatrixView {
  const int8_t* codes = nullptr;
  const float* scales = nullptr;
  const float* offsets = nullptr;
  const int32_t* column_order = nullptr;
  int64_t n = 0;
  int64_t k = 0;
  int64_t group_size = 0;
  int bits = 8;
};

}  // namespace oneai::kernels
