// Idea: exp by polynomial on whole vectors (simd_exp.h) instead of one libm call per element.
// Bottleneck: arithmetic. Gain over the reference: see benchmarks/kernels/ops_bench.
#pragma once

#include "kernels/cpu/simd_exp.h"
#include "kernels/swiglu/swiglu.h"

namespace oneai::kernels {

template <class V>
struct SwigluRows {
  using Reg = typename V::Reg;

  static void Run(const SwigluArgs& args, int64_t row_begin, int64_t row_end) {
    for (int64_t row = row_begin; row < row_end; ++row) {
      const float* gate = args.gate + row * args.in_stride;
      const float* up = args.up + row * args.in_stride;
      float* y = args.y + row * args.out_stride;
      int64_t i = 0;
      for (; i + V::kLanes <= args.dim; i += V::kLanes) {
        V::Store(y + i, Gate(V::Load(gate + i), V::Load(up + i)));
      }
      if (i < args.dim) {
        const int64_t left = args.dim - i;
        V::StorePart(y + i, left,
                     Gate(V::LoadPart(gate + i, left, 0), V::LoadPart(up + i, left, 0)));
      }
    }
  }

 private:
  static inline __attribute__((always_inline)) Reg Gate(Reg gate, Reg up) {
    const Reg exp = Exp<V>(V::Sub(V::Set(0), gate));
    return V::Mul(V::Div(gate, V::Add(V::Set(1), exp)), up);
  }
};

}  // namespace oneai::kernels
