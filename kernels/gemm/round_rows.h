// Activations to bf16 in the order in which tiles read them, once per Gemm().
//
// Rows come in groups of 16 (the last may be smaller); within a group, memory goes over k in steps
// of 32 first:
//
//   group 0: k 0..31 of row 0, of row 1, ... of row 15; k 32..63 of row 0, ...; group 1: ...
//
// So an A tile of an AMX unit is one contiguous KiB, and the rows that a vector kernel works on
// together are neighbours in cache at any K, while row-major rows 2 KiB apart would fall on each
// other's cache sets.
#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/types/span.h"
#include "kernels/cpu/bfloat16.h"
#include "kernels/cpu/variant.h"

namespace oneai::kernels {

inline constexpr int64_t kRowGroup = 16;
inline constexpr int64_t kDepthStep = 32;

// Where row `row` of m rows lies: element k is at first + k / 32 * step + k % 32.
struct RoundedRow {
  int64_t first;
  int64_t step;
};
inline RoundedRow LocateRoundedRow(int64_t row, int64_t m, int64_t padded_k) {
  const int64_t group_begin = row / kRowGroup * kRowGroup;
  const int64_t group_rows = std::min(kRowGroup, m - group_begin);
  return {group_begin * padded_k + (row - group_begin) * kDepthStep, group_rows * kDepthStep};
}

//   x    [m, k] float32, rows `x_stride` elements apart
//   out  [m, padded_k] bf16 in the order above; padded_k is a multiple of 32
struct RoundRowsArgs {
  const float* x;
  int64_t x_stride;
  int64_t m;
  int64_t k;
  int64_t padded_k;
  BFloat16* out;
};

// Rounds rows [row_begin, row_end) to nearest even, with zeros from k to padded_k. Every variant
// gives the bits of ToBFloat16().
using RoundRowsFn = void (*)(const RoundRowsArgs& args, int64_t row_begin, int64_t row_end);
absl::Span<const Variant<RoundRowsFn>> RoundRowsVariants();

}  // namespace oneai::kernels
