// One loop that the compiler turns into vectors of the including file's width. `Isa` only makes
// each file's copy a function of its own, so that the linker cannot mix them.
#pragma once

#include <bit>

#include "kernels/gemm/round_rows.h"

namespace oneai::kernels {

template <CpuIsa Isa>
void RoundRowsLoop(const RoundRowsArgs& args, int64_t row_begin, int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    const int64_t group_begin = row / kRowGroup * kRowGroup;
    const int64_t group_rows = args.m - group_begin < kRowGroup ? args.m - group_begin : kRowGroup;
    const float* in = args.x + row * args.x_stride;
    BFloat16* out = args.out + group_begin * args.padded_k + (row - group_begin) * kDepthStep;
    for (int64_t k = 0; k < args.padded_k; k += kDepthStep, out += group_rows * kDepthStep) {
      if (k + kDepthStep > args.k) {  // the ragged end
        for (int64_t i = 0; i < kDepthStep; ++i) {
          out[i] = k + i < args.k ? ToBFloat16(in[k + i]) : BFloat16{0};
        }
        continue;
      }
      // ToBFloat16() without its branch.
      for (int64_t i = 0; i < kDepthStep; ++i) {
        const uint32_t bits = __builtin_bit_cast(uint32_t, in[k + i]);
        const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
        const uint32_t quiet_nan = (bits >> 16) | 0x0040u;
        const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
        out[i].bits = static_cast<uint16_t>(is_nan ? quiet_nan : rounded);
      }
    }
  }
}

}  // namespace oneai::kernels
