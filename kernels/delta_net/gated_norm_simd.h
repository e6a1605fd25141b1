// Idea: a head's row is summed and scaled while it is in registers or the first-level cache, and
// the gate's exponential runs on whole vectors. Bottleneck: arithmetic of the gate.
#pragma once

#include "kernels/cpu/simd_exp.h"
#include "kernels/delta_net/gated_norm.h"

namespace oneai::kernels {

template <class V>
struct GatedNormRows {
  using Reg = typename V::Reg;

  static void Run(const GatedRmsNormArgs& args, int64_t token_begin, int64_t token_end) {
    for (int64_t t = token_begin; t < token_end; ++t) {
      for (int64_t h = 0; h < args.num_heads; ++h) {
        OneHead(args, args.x + t * args.x_stride + h * args.dim,
                args.z + t * args.z_stride + h * args.dim,
                args.y + t * args.y_stride + h * args.dim);
      }
    }
  }

 private:
  static void OneHead(const GatedRmsNormArgs& args, const float* x, const float* z, float* y) {
    const int64_t dim = args.dim;
    Reg sum[2] = {V::Set(0), V::Set(0)};
    int64_t i = 0;
    for (; i + 2 * V::kLanes <= dim; i += 2 * V::kLanes) {
      for (int j = 0; j < 2; ++j) {
        const Reg v = V::Load(x + i + j * V::kLanes);
        sum[j] = V::MulAdd(v, v, sum[j]);
      }
    }
    for (; i + V::kLanes <= dim; i += V::kLanes) {
      const Reg v = V::Load(x + i);
      sum[0] = V::MulAdd(v, v, sum[0]);
    }
    if (i < dim) {
      const Reg v = V::LoadPart(x + i, dim - i, 0);
      sum[1] = V::MulAdd(v, v, sum[1]);
    }
    const float total = V::SumLanes(V::Add(sum[0], sum[1]));
    const Reg scale =
        V::Set(1.0f / __builtin_sqrtf(total / static_cast<float>(dim) + args.epsilon));
    for (i = 0; i + V::kLanes <= dim; i += V::kLanes) {
      V::Store(y + i, Gated(V::Load(x + i), scale, V::Load(args.weight + i), V::Load(z + i)));
    }
    if (i < dim) {
      const int64_t left = dim - i;
      V::StorePart(y + i, left,
                   Gated(V::LoadPart(x + i, left, 0), scale, V::LoadPart(args.weight + i, left, 0),
                         V::LoadPart(z + i, left, 0)));
    }
  }

  static inline __attribute__((always_inline)) Reg Gated(Reg x, Reg scale, Reg weight, Reg z) {
    const Reg gate = V::Div(z, V::Add(V::Set(1), Exp<V>(V::Sub(V::Set(0), z))));
    return V::Mul(V::Mul(V::Mul(x, scale), weight), gate);
  }
};

}  // namespace oneai::kernels
