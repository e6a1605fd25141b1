// Idea: one pass for the maximum, one for the sum of exponentials in 4 vectors (simd_exp.h).
// Bottleneck: arithmetic of exp. Gain over the reference: see benchmarks/kernels/ops_bench.
#pragma once

#include "kernels/cpu/simd_exp.h"
#include "kernels/softmax/softmax.h"

namespace oneai::kernels {

template <class V>
struct LogSumExpRow {
  using Reg = typename V::Reg;
  static constexpr int64_t kStep = 4 * V::kLanes;

  static float Run(const float* row, int64_t vocab) {
    const float infinity = __builtin_inff();
    const float max = MaxOf(row, vocab);
    if (max == infinity || max == -infinity) return max;
    const Reg top = V::Set(max);
    Reg sum[4] = {V::Set(0), V::Set(0), V::Set(0), V::Set(0)};
    int64_t i = 0;
    for (; i + kStep <= vocab; i += kStep) {
      for (int j = 0; j < 4; ++j) {
        sum[j] = V::Add(sum[j], Exp<V>(V::Sub(V::Load(row + i + j * V::kLanes), top)));
      }
    }
    for (; i + V::kLanes <= vocab; i += V::kLanes) {
      sum[0] = V::Add(sum[0], Exp<V>(V::Sub(V::Load(row + i), top)));
    }
    if (i < vocab) {  // lanes beyond the end become exp(-inf), at most the smallest denormal
      sum[1] = V::Add(sum[1], Exp<V>(V::Sub(V::LoadPart(row + i, vocab - i, -infinity), top)));
    }
    const float total = V::SumLanes(V::Add(V::Add(sum[0], sum[1]), V::Add(sum[2], sum[3])));
    return max + __builtin_logf(total);
  }

 private:
  static float MaxOf(const float* row, int64_t vocab) {
    const float infinity = __builtin_inff();
    Reg max[4];
    for (Reg& m : max) m = V::Set(-infinity);
    int64_t i = 0;
    for (; i + kStep <= vocab; i += kStep) {
      for (int j = 0; j < 4; ++j) max[j] = V::Max(max[j], V::Load(row + i + j * V::kLanes));
    }
    for (; i + V::kLanes <= vocab; i += V::kLanes) max[0] = V::Max(max[0], V::Load(row + i));
    if (i < vocab) max[1] = V::Max(max[1], V::LoadPart(row + i, vocab - i, -infinity));
    return V::MaxLanes(V::Max(V::Max(max[0], max[1]), V::Max(max[2], max[3])));
  }
};

}  // namespace oneai::kernels
