// Idea: the columns of S do not meet, so a group of them that fits the registers and whose rows fit
// the first-level cache runs through all tokens. One pass over the group is a token's update and
// read and, at the same time, the next token's read for its key. Bottleneck: four multiply(-add)s
// per element and token in prefill; memory, S once in and once out, in decode, where a group is
// fetched while the one before is computed. Gain on Zen 5: 60 times the reference; in decode the
// fetching alone is 1.6 (AVX2) and 1.1 times (AVX-512). See
// benchmarks/models/ops/delta_net_bench.cc.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/delta_net/delta_rule.h"

namespace oneai::kernels {

template <class V>
struct DeltaRuleColumns {
  using Reg = typename V::Reg;
  // As many vectors of columns as leave registers for their three sums each.
  static constexpr int kVectors = V::kLanes >= 16 ? 4 : 2;
  static constexpr int64_t kTile = 16;  // tokens whose keys and queries are normalized together

  static void Run(const DeltaRuleArgs& args, int64_t item_begin, int64_t item_end) {
    for (int64_t item = item_begin; item < item_end; ++item) {
      const int64_t head = item / args.num_runs;
      const RecurrentRun& run = args.runs[item % args.num_runs];
      float* state = OpenState(args, run, head);
      for (int64_t t = run.begin; t < run.end; t += kTile) {
        RunTile(args, head, t, std::min<int64_t>(kTile, run.end - t), state);
      }
    }
  }

 private:
  // What the tokens of a tile bring to one head.
  struct Tile {
    alignas(64) float keys[kTile * kDeltaKeyDimMax];  // [num_tokens, key_dim]
    alignas(64) float queries[kTile * kDeltaKeyDimMax];
    float decay[kTile], beta[kTile];
    const float* v;  // first token, first column of the head
    float* out;
    int64_t num_tokens, key_dim, v_stride, out_stride;
  };

  static void RunTile(const DeltaRuleArgs& args, int64_t head, int64_t first, int64_t num_tokens,
                      float* state) {
    const int64_t dk = args.key_dim, dv = args.value_dim;
    const int64_t key_head = head / (args.num_value_heads / args.num_key_heads);
    const float query_scale = 1.0f / std::sqrt(static_cast<float>(dk));
    Tile tile;
    tile.v = args.v + first * args.token_stride + head * dv;
    tile.out = args.out + first * args.out_stride + head * dv;
    tile.num_tokens = num_tokens, tile.key_dim = dk;
    tile.v_stride = args.token_stride, tile.out_stride = args.out_stride;
    for (int64_t t = 0; t < num_tokens; ++t) {
      const int64_t at = (first + t) * args.token_stride + key_head * dk;
      Normalize(args.k + at, dk, 1.0f, tile.keys + t * dk);
      Normalize(args.q + at, dk, query_scale, tile.queries + t * dk);
      const int64_t gate = (first + t) * args.num_value_heads + head;
      tile.decay[t] = std::exp(args.g[gate]);
      tile.beta[t] = args.beta[gate];
    }
    for (int64_t column = 0; column < dv; column += kDeltaColumns) {
      RunGroup(tile, column, std::min(kDeltaColumns, dv - column), state + column * dk);
    }
  }

  static void Normalize(const float* x, int64_t dim, float scale, float* y) {
    Reg sum[2] = {V::Set(0), V::Set(0)};
    int64_t i = 0;
    for (; i + 2 * V::kLanes <= dim; i += 2 * V::kLanes) {
      for (int j = 0; j < 2; ++j) {
        const Reg v = V::Load(x + i + j * V::kLanes);
        sum[j] = V::MulAdd(v, v, sum[j]);
      }
    }
    for (; i < dim; i += V::kLanes) {
      const Reg v = LoadUpTo(x + i, dim - i);
      sum[0] = V::MulAdd(v, v, sum[0]);
    }
    const float total = V::SumLanes(V::Add(sum[0], sum[1]));
    const Reg factor = V::Set(scale / std::sqrt(total + static_cast<float>(kDeltaL2Epsilon)));
    for (i = 0; i < dim; i += V::kLanes) {
      StoreUpTo(y + i, dim - i, V::Mul(LoadUpTo(x + i, dim - i), factor));
    }
  }

  // The `width` columns from `column` on; their S begins at `state`.
  static void RunGroup(const Tile& tile, int64_t column, int64_t width, float* state) {
    int64_t j = 0;
    for (; j + kVectors * V::kLanes <= width; j += kVectors * V::kLanes) {
      RunColumns<kVectors, false>(tile, column + j, 0, state + j, width);
    }
    for (; j + V::kLanes <= width; j += V::kLanes) {
      RunColumns<1, false>(tile, column + j, 0, state + j, width);
    }
    if (j < width) RunColumns<1, true>(tile, column + j, width - j, state + j, width);
  }

  // N vectors of columns through the tile's tokens; when kPart, one vector of which `count` lanes
  // exist.
  template <int N, bool kPart>
  static void RunColumns(const Tile& tile, int64_t column, int64_t count, float* state,
                         int64_t row_stride) {
    Reg known[N];  // S^T k of the token to come, before its decay
    for (int n = 0; n < N; ++n) known[n] = V::Set(0);
    for (int64_t i = 0; i < tile.key_dim; ++i) {
      const Reg k = V::Set(tile.keys[i]);
      for (int n = 0; n < N; ++n) {
        const Reg s = Load<kPart>(state + i * row_stride + n * V::kLanes, count);
        known[n] = V::MulAdd(s, k, known[n]);
      }
    }
    for (int64_t t = 0; t + 1 < tile.num_tokens; ++t) {
      OneToken<N, kPart, true>(tile, t, column, count, state, row_stride, known);
    }
    OneToken<N, kPart, false>(tile, tile.num_tokens - 1, column, count, state, row_stride, known);
  }

  template <int N, bool kPart, bool kReadNext>
  static inline __attribute__((always_inline)) void OneToken(const Tile& tile, int64_t t,
                                                             int64_t column, int64_t count,
                                                             float* state, int64_t row_stride,
                                                             Reg (&known)[N]) {
    const Reg decay = V::Set(tile.decay[t]), beta = V::Set(tile.beta[t]);
    const float* keys = tile.keys + t * tile.key_dim;
    const float* queries = tile.queries + t * tile.key_dim;
    const float* v = tile.v + t * tile.v_stride + column;
    Reg delta[N], out[N];
    for (int n = 0; n < N; ++n) {
      delta[n] = V::Mul(beta, V::NegMulAdd(decay, known[n], Load<kPart>(v + n * V::kLanes, count)));
      out[n] = V::Set(0);
      known[n] = V::Set(0);
    }
    for (int64_t i = 0; i < tile.key_dim; ++i) {
      const Reg k = V::Set(keys[i]), q = V::Set(queries[i]);
      const Reg next = kReadNext ? V::Set(keys[tile.key_dim + i]) : V::Set(0);
      float* row = state + i * row_stride;
      // The rows that will be wanted after these: in decode they would wait for memory while this
      // loop, which works on what is cached by now, does not use it.
      if (!kReadNext) {
        for (int n = 0; n < N; ++n) {
          __builtin_prefetch(row + kDeltaColumns * tile.key_dim + n * V::kLanes, 0, 2);
        }
      }
      for (int n = 0; n < N; ++n) {
        Reg s = V::Mul(Load<kPart>(row + n * V::kLanes, count), decay);
        s = V::MulAdd(k, delta[n], s);
        Store<kPart>(row + n * V::kLanes, count, s);
        out[n] = V::MulAdd(s, q, out[n]);
        if (kReadNext) known[n] = V::MulAdd(s, next, known[n]);
      }
    }
    float* y = tile.out + t * tile.out_stride + column;
    for (int n = 0; n < N; ++n) Store<kPart>(y + n * V::kLanes, count, out[n]);
  }

  template <bool kPart>
  static inline __attribute__((always_inline)) Reg Load(const float* p, int64_t count) {
    if constexpr (kPart) return V::LoadPart(p, count, 0);
    return V::Load(p);
  }
  template <bool kPart>
  static inline __attribute__((always_inline)) void Store(float* p, int64_t count, Reg x) {
    if constexpr (kPart) {
      V::StorePart(p, count, x);
    } else {
      V::Store(p, x);
    }
  }
  static Reg LoadUpTo(const float* p, int64_t left) {
    return left < V::kLanes ? V::LoadPart(p, left, 0) : V::Load(p);
  }
  static void StoreUpTo(float* p, int64_t left, Reg x) {
    if (left < V::kLanes) {
      V::StorePart(p, left, x);
    } else {
      V::Store(p, x);
    }
  }
};

}  // namespace oneai::kernels
