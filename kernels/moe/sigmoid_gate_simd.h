// Idea: exp by polynomial on whole vectors (simd_exp.h). Bottleneck: arithmetic.
#pragma once

#include "kernels/cpu/simd_exp.h"
#include "kernels/moe/sigmoid_gate.h"

namespace oneai::kernels {

template <class V>
struct SigmoidGateRows {
  using Reg = typename V::Reg;

  static void Run(const SigmoidGateArgs& args, int64_t row_begin, int64_t row_end) {
    for (int64_t row = row_begin; row < row_end; ++row) {
      const float* gate = args.gate + row * args.gate_stride;
      float* y = args.y + row * args.y_stride;
      int64_t i = 0;
      for (; i + V::kLanes <= args.dim; i += V::kLanes)
        V::Store(y + i, Gated(V::Load(y + i), V::Load(gate + i)));
      if (i < args.dim) {
        const int64_t left = args.dim - i;
        V::StorePart(y + i, left,
                     Gated(V::LoadPart(y + i, left, 0), V::LoadPart(gate + i, left, 0)));
      }
    }
  }

 private:
  static inline __attribute__((always_inline)) Reg Gated(Reg y, Reg gate) {
    return V::Div(y, V::Add(V::Set(1), Exp<V>(V::Sub(V::Set(0), gate))));
  }
};

}  // namespace oneai::kernels
