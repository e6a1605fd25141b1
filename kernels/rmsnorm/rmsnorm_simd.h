// Idea: a row is summed in 4 vectors, which hides the latency of the multiply-add, then scaled
// while it is still in the first-level cache. Bottleneck: memory. Gain over the reference: see
// benchmarks/kernels/ops_bench.
#pragma once

#include "kernels/rmsnorm/rmsnorm.h"

namespace oneai::kernels {

template <class V>
struct RmsNormRows {
  using Reg = typename V::Reg;
  static constexpr int64_t kStep = 4 * V::kLanes;

  static void Run(const RmsNormArgs& args, float* residual, const float* delta,
                  int64_t delta_stride, int64_t row_begin, int64_t row_end) {
    for (int64_t row = row_begin; row < row_end; ++row) {
      if (residual != nullptr) {
        AddTo(residual + row * args.x_stride, delta + row * delta_stride, args.dim);
      }
      OneRow(args.x + row * args.x_stride, args.weight, args.dim, args.epsilon,
             args.y + row * args.y_stride);
    }
  }

 private:
  static void AddTo(float* x, const float* delta, int64_t dim) {
    int64_t i = 0;
    for (; i + V::kLanes <= dim; i += V::kLanes) {
      V::Store(x + i, V::Add(V::Load(x + i), V::Load(delta + i)));
    }
    if (i < dim) {
      const int64_t left = dim - i;
      V::StorePart(x + i, left,
                   V::Add(V::LoadPart(x + i, left, 0), V::LoadPart(delta + i, left, 0)));
    }
  }

  static void OneRow(const float* x, const float* weight, int64_t dim, float epsilon, float* y) {
    Reg sum[4] = {V::Set(0), V::Set(0), V::Set(0), V::Set(0)};
    int64_t i = 0;
    for (; i + kStep <= dim; i += kStep) {
      for (int j = 0; j < 4; ++j) {
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
    const float total = V::SumLanes(V::Add(V::Add(sum[0], sum[1]), V::Add(sum[2], sum[3])));
    const float scale = 1.0f / __builtin_sqrtf(total / static_cast<float>(dim) + epsilon);
    const Reg scales = V::Set(scale);
    for (i = 0; i + V::kLanes <= dim; i += V::kLanes) {
      V::Store(y + i, V::Mul(V::Mul(V::Load(x + i), scales), V::Load(weight + i)));
    }
    if (i < dim) {
      const int64_t left = dim - i;
      V::StorePart(
          y + i, left,
          V::Mul(V::Mul(V::LoadPart(x + i, left, 0), scales), V::LoadPart(weight + i, left, 0)));
    }
  }
};

}  // namespace oneai::kernels
