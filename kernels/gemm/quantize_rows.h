// Activations to 8-bit codes in the order in which tiles read them, once per Gemm() with integer
// weights.
//
// Each row is quantised by itself and, where the weights have groups, each group of k by itself, so
// that a row's codes never depend on its batch:
//
//   scale = absmax / 127,  code = nearest(x * (127 / absmax))   in [-127, 127], ties to even, one
//   rounding
//
// A group below 2^-100 in magnitude becomes zeros with scale 0 (2^-100 is far below any activation;
// above it, no reciprocal overflows). A group with an infinity or a NaN gets scale NaN, and so
// every output of that row is NaN.
//
// Codes lie as bf16 does in round_rows.h, in steps of 64 k: groups of 16 rows (the last may be
// smaller), within a group k 0..63 of each row, then k 64..127, ...
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/cpu/variant.h"
#include "kernels/gemm/round_rows.h"

namespace oneai::kernels {

inline constexpr int64_t kCodeStep = 64;

// Where row `row` of m rows lies: code k is at first + k / 64 * step + k % 64.
inline RoundedRow LocateCodeRow(int64_t row, int64_t m, int64_t padded_k) {
  const int64_t group_begin = row / kRowGroup * kRowGroup;
  const int64_t group_rows = std::min(kRowGroup, m - group_begin);
  return {group_begin * padded_k + (row - group_begin) * kCodeStep, group_rows * kCodeStep};
}

// Quantised rows, borrowed.
//   codes        [m, padded_k] in the order above, 0 from k on
//   scales       [m, num_groups]
//   sums         [m, num_groups] sums of the group's codes
//   scaled_sums  [m, num_groups] scale * float(sum): what an offset of the weights is multiplied by
struct CodeRows {
  int8_t* codes = nullptr;
  float* scales = nullptr;
  float* scaled_sums = nullptr;
  int32_t* sums = nullptr;
};

//   x             [m, k] float32, rows `x_stride` elements apart
//   column_order  [k] or null: code j is made from x[column_order[j]]
struct QuantizeRowsArgs {
  const float* x;
  int64_t x_stride;
  const int32_t* column_order;
  int64_t m;
  int64_t k;
  int64_t padded_k;    // a multiple of 64 and of group_size
  int64_t group_size;  // a multiple of 16
  CodeRows out;
};

// Quantises rows [row_begin, row_end). Every variant gives the same bits.
using QuantizeRowsFn = void (*)(const QuantizeRowsArgs& args, int64_t row_begin, int64_t row_end);
absl::Span<const Variant<QuantizeRowsFn>> QuantizeRowsVariants();

}  // namespace oneai::kernels
