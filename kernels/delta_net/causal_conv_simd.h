// Idea: a strip of channels at a time, tokens from last to first, so that the inputs a token needs
// are still there when its place is overwritten and all but the newest are in the first-level
// cache. Bottleneck: the exponential of SiLU.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/cpu/simd_exp.h"
#include "kernels/delta_net/causal_conv.h"

namespace oneai::kernels {

template <class V>
struct CausalConvStrips {
  using Reg = typename V::Reg;
  static constexpr int64_t kStrip = 256;

  static void Run(const CausalConvArgs& args, int64_t channel_begin, int64_t channel_end) {
    for (int64_t r = 0; r < args.num_runs; ++r) {
      for (int64_t c = channel_begin; c < channel_end; c += kStrip) {
        Strip(args, args.runs[r], c, std::min(kStrip, channel_end - c));
      }
    }
  }

 private:
  static void Strip(const CausalConvArgs& args, const RecurrentRun& run, int64_t channel,
                    int64_t width) {
    const int64_t history = args.kernel_size - 1, num_tokens = run.end - run.begin;
    float* x = args.x + run.begin * args.x_stride + channel;
    float before[(kConvKernelMax - 1) * kStrip], after[(kConvKernelMax - 1) * kStrip];
    if (run.from == kZeroState) {
      std::memset(before, 0, sizeof(before));
    } else {
      const float* tail = args.tail + run.from * args.slot_stride + channel;
      CopyRows(tail, args.channels, before, kStrip, history, width);
    }
    // The input `t` tokens after the run's first, which is in the tail for t < 0.
    auto input = [&](int64_t t) {
      return t >= 0 ? x + t * args.x_stride : before + (t + history) * kStrip;
    };
    for (int64_t j = 0; j < history; ++j) {
      std::memcpy(after + j * kStrip, input(num_tokens - history + j), width * sizeof(float));
    }
    const float* rows[kConvKernelMax];
    for (int64_t t = num_tokens - 1; t >= 0; --t) {
      for (int64_t j = 0; j <= history; ++j) rows[j] = input(t - history + j);
      OneToken(args, rows, channel, width, x + t * args.x_stride);
    }
    CopyRows(after, kStrip, args.tail + run.to * args.slot_stride + channel, args.channels, history,
             width);
  }

  static void CopyRows(const float* from, int64_t from_stride, float* to, int64_t to_stride,
                       int64_t num_rows, int64_t width) {
    for (int64_t j = 0; j < num_rows; ++j) {
      std::memcpy(to + j * to_stride, from + j * from_stride, width * sizeof(float));
    }
  }

  static void OneToken(const CausalConvArgs& args, const float* const* rows, int64_t channel,
                       int64_t width, float* y) {
    const float* weight = args.weight + channel;
    int64_t c = 0;
    for (; c + V::kLanes <= width; c += V::kLanes) {
      Reg sum = V::Mul(V::Load(weight + c), V::Load(rows[0] + c));
      for (int64_t j = 1; j < args.kernel_size; ++j) {
        sum = V::MulAdd(V::Load(weight + j * args.channels + c), V::Load(rows[j] + c), sum);
      }
      V::Store(y + c, Silu(sum));
    }
    if (c < width) {
      const int64_t left = width - c;
      Reg sum = V::Mul(V::LoadPart(weight + c, left, 0), V::LoadPart(rows[0] + c, left, 0));
      for (int64_t j = 1; j < args.kernel_size; ++j) {
        sum = V::MulAdd(V::LoadPart(weight + j * args.channels + c, left, 0),
                        V::LoadPart(rows[j] + c, left, 0), sum);
      }
      V::StorePart(y + c, left, Silu(sum));
    }
  }

  static inline __attribute__((always_inline)) Reg Silu(Reg x) {
    return V::Div(x, V::Add(V::Set(1), Exp<V>(V::Sub(V::Set(0), x))));
  }
};

}  // namespace oneai::kernels
