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
    for (int64_t s = 0; s < args.num_sequences; ++s) {
      for (int64_t c = channel_begin; c < channel_end; c += kStrip) {
        Strip(args, s, c, std::min(kStrip, channel_end - c));
      }
    }
  }

 private:
  static void Strip(const CausalConvArgs& args, int64_t sequence, int64_t channel, int64_t width) {
    const int64_t history = args.kernel_size - 1;
    const int64_t num_tokens = args.seq_start[sequence + 1] - args.seq_start[sequence];
    float* x = args.x + args.seq_start[sequence] * args.x_stride + channel;
    float* tail = args.tail + args.slot[sequence] * args.slot_stride + channel;
    // The input `t` tokens after the sequence's first, which is in the tail for t < 0.
    auto input = [&](int64_t t) {
      return t >= 0 ? x + t * args.x_stride : tail + (t + history) * args.channels;
    };
    float next_tail[(kConvKernelMax - 1) * kStrip];
    for (int64_t j = 0; j < history; ++j) {
      std::memcpy(next_tail + j * kStrip, input(num_tokens - history + j), width * sizeof(float));
    }
    const float* rows[kConvKernelMax];
    for (int64_t t = num_tokens - 1; t >= 0; --t) {
      for (int64_t j = 0; j <= history; ++j) rows[j] = input(t - history + j);
      OneToken(args, rows, channel, width, x + t * args.x_stride);
    }
    for (int64_t j = 0; j < history; ++j) {
      std::memcpy(tail + j * args.channels, next_tail + j * kStrip, width * sizeof(float));
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
