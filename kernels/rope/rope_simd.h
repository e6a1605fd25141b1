// Idea: both halves of a head are contiguous in the NeoX arrangement, so the rotation is plain
// vector arithmetic. Bottleneck: memory. Gain over the reference: see benchmarks/kernels/ops_bench.
#pragma once

#include "kernels/rope/rope.h"

namespace oneai::kernels {

template <class V>
struct RopeTokens {
  using Reg = typename V::Reg;

  static void Run(const RopeArgs& args, int64_t token_begin, int64_t token_end) {
    const int64_t half = args.rotary_dim / 2;
    for (int64_t token = token_begin; token < token_end; ++token) {
      const float* cos = args.cos + token * half;
      const float* sin = args.sin + token * half;
      for (int64_t head = 0; head < args.num_heads; ++head) {
        OneHead(args.x + token * args.token_stride + head * args.head_stride, cos, sin, half);
      }
    }
  }

 private:
  static void OneHead(float* x, const float* cos, const float* sin, int64_t half) {
    int64_t i = 0;
    for (; i + V::kLanes <= half; i += V::kLanes) {
      const Reg a = V::Load(x + i), b = V::Load(x + half + i);
      const Reg c = V::Load(cos + i), s = V::Load(sin + i);
      V::Store(x + i, V::NegMulAdd(b, s, V::Mul(a, c)));
      V::Store(x + half + i, V::MulAdd(a, s, V::Mul(b, c)));
    }
    if (i < half) {
      const int64_t left = half - i;
      const Reg a = V::LoadPart(x + i, left, 0), b = V::LoadPart(x + half + i, left, 0);
      const Reg c = V::LoadPart(cos + i, left, 0), s = V::LoadPart(sin + i, left, 0);
      V::StorePart(x + i, left, V::NegMulAdd(b, s, V::Mul(a, c)));
      V::StorePart(x + half + i, left, V::MulAdd(a, s, V::Mul(b, c)));
    }
  }
};

}  // namespace oneai::kernels
