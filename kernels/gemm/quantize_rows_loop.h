// The quantisation of rows, over vectors of 16 values of the including file's instruction set.
#pragma once

#include <limits>

#include "kernels/gemm/quantize_rows.h"

namespace oneai::kernels {

// `Lanes` works on 16 values at a time. It also makes each file's copy a function of its own, so
// that the linker cannot mix them.
//   class Magnitudes { void Add(const float* x); uint32_t Largest(); }  of the bits of |x|: a NaN
//   is
//     larger than infinity, which is larger than any number
//   class Encoder { Encoder(float inverse); void Add(const float* x, int8_t* codes); int32_t Sum();
//   }
//     codes are fma(x, inverse, 1.5 * 2^23), whose low bits hold the nearest integer
template <class Lanes>
struct QuantizeRowsLoop {
  // Values k .. k + 15 of a row, with zeros beyond its end.
  static inline __attribute__((always_inline)) const float* Values(const QuantizeRowsArgs& args,
                                                                   const float* row, int64_t k,
                                                                   float (&buffer)[16]) {
    if (args.column_order == nullptr && k + 16 <= args.k) return row + k;
    for (int64_t i = 0; i < 16; ++i) {
      const bool exists = k + i < args.k;
      const int64_t from =
          exists && args.column_order != nullptr ? args.column_order[k + i] : k + i;
      buffer[i] = exists ? row[from] : 0.0f;
    }
    return buffer;
  }

  static inline __attribute__((always_inline)) uint32_t MagnitudeBits(const QuantizeRowsArgs& args,
                                                                      const float* row,
                                                                      int64_t begin, int64_t end) {
    typename Lanes::Magnitudes magnitudes;
    float buffer[16];
    for (int64_t k = begin; k < end; k += 16) magnitudes.Add(Values(args, row, k, buffer));
    return magnitudes.Largest();
  }

  // Writes the codes of a group and returns their sum.
  static inline __attribute__((always_inline)) int32_t Encode(const QuantizeRowsArgs& args,
                                                              const float* row, int64_t begin,
                                                              int64_t end, float inverse,
                                                              const RoundedRow& at) {
    typename Lanes::Encoder encoder(inverse);
    float buffer[16];
    for (int64_t k = begin; k < end; k += 16) {
      int8_t* out = args.out.codes + at.first + k / kCodeStep * at.step + k % kCodeStep;
      encoder.Add(Values(args, row, k, buffer), out);
    }
    return encoder.Sum();
  }

  static void Run(const QuantizeRowsArgs& args, int64_t row_begin, int64_t row_end) {
    constexpr uint32_t kTiny = 0x0d800000u;      // 2^-100
    constexpr uint32_t kInfinity = 0x7f800000u;  // and NaNs above
    const int64_t groups = args.padded_k / args.group_size;
    for (int64_t row = row_begin; row < row_end; ++row) {
      const float* x = args.x + row * args.x_stride;
      const RoundedRow at = LocateCodeRow(row, args.m, args.padded_k);
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t begin = g * args.group_size, end = begin + args.group_size;
        const uint32_t most = MagnitudeBits(args, x, begin, end);
        const bool encodes = most >= kTiny && most < kInfinity;
        const float absmax = __builtin_bit_cast(float, most);
        float scale = encodes ? absmax / 127.0f : 0.0f;
        if (most >= kInfinity) scale = std::numeric_limits<float>::quiet_NaN();
        int32_t sum = 0;
        if (encodes) {
          sum = Encode(args, x, begin, end, 127.0f / absmax, at);
        } else {
          for (int64_t k = begin; k < end; ++k) {
            args.out.codes[at.first + k / kCodeStep * at.step + k % kCodeStep] = 0;
          }
        }
        args.out.scales[row * groups + g] = scale;
        args.out.sums[row * groups + g] = sum;
        args.out.scaled_sums[row * groups + g] = scale * static_cast<float>(sum);
      }
    }
  }
};

}  // namespace oneai::kernels
