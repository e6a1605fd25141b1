// The unit of float32 multiply-adds: any cache format is widened, nothing is rounded.
#pragma once

#include <bit>

#include "kernels/attention/attention_loops.h"
#include "kernels/attention/kv_cache_view.h"

namespace oneai::kernels {

// `Split` is SplitAvx512 or SplitAvx2.
template <class Split>
struct FloatUnit {
  using V = Split;
  using Reg = typename V::Reg;
  static constexpr int64_t kLanes = V::kLanes;
  static constexpr int kNumRegisters = V::kNumRegisters;
  static constexpr int64_t kPack = 1;         // elements of a word of keys and values
  static constexpr int64_t kRowPack = 1;      // of queries and weights
  static constexpr int64_t kSubTileStep = 1;  // a span of positions may be any number of sub-tiles
  static constexpr bool kProductAsks =
      false;  // Expand() asks for what is read next, not the products

#define ONEAI_UNIT static inline __attribute__((always_inline))
  ONEAI_UNIT Reg Zero() { return V::Set(0); }
  ONEAI_UNIT Reg Load(const Word* p) { return V::Load(reinterpret_cast<const float*>(p)); }
  ONEAI_UNIT Reg LoadFloats(const float* p) { return V::Load(p); }
  ONEAI_UNIT void Store(float* p, Reg x) { V::Store(p, x); }
  ONEAI_UNIT Reg Broadcast(const Word* p) { return V::Set(std::bit_cast<float>(*p)); }
  ONEAI_UNIT Reg Dot(Reg a, Reg b, Reg c) { return V::MulAdd(a, b, c); }

  // 16 (kPack words of) weights, those for the values times `scale` unless that is null; adds them
  // to the lanes of `total`.
  ONEAI_UNIT void PutWeights(const Reg* weight, const float* scale, Reg& total, Word* words) {
    float* to = reinterpret_cast<float*>(words);
    for (int n = 0; n < kSubTile / kLanes; ++n) {
      total = V::Add(total, weight[n]);
      V::Store(to + n * kLanes,
               scale == nullptr ? weight[n] : V::Mul(weight[n], V::Load(scale + n * kLanes)));
    }
  }
#undef ONEAI_UNIT

  static void PackQuery(const float* q, int64_t head_dim, int64_t dim, Word* words) {
    float* to = reinterpret_cast<float*>(words);
    for (int64_t i = 0; i < dim; ++i) to[i] = i < head_dim ? q[i] : 0.0f;
  }

  static void Put(float x, int64_t index, Word* words) {
    words[index] = std::bit_cast<uint32_t>(x);
  }

  // [rows][len][2] elements of the cache to [2 rows][len] floats at `to`, which is returned. A tile
  // of keys has dim / 2 rows of 16 tokens, of values 8 rows of dim.
  template <bool kKeys>
  static const Word* Expand(KvCacheFormat format, const std::byte* from, const std::byte* ahead,
                            int64_t dim, Word* to) {
    const int64_t rows = kKeys ? dim / 2 : kSubTile / 2, len = kKeys ? kSubTile : dim;
    float* out = reinterpret_cast<float*>(to);
    switch (format) {
      case KvCacheFormat::kBf16:
        SplitRows<V::Bf16, 2>(from, ahead, rows, len, out);
        break;
      case KvCacheFormat::kInt8:
        SplitRows<V::Int8, 1>(from, ahead, rows, len, out);
        break;
      case KvCacheFormat::kF32:
        SplitRows<V::F32, 4>(from, ahead, rows, len, out);
        break;
    }
    return to;
  }

  static void Scores(const Word* q, int64_t rows, int64_t steps, const SubTiles& keys,
                     float* scores, int64_t score_stride) {
    AttentionLoops<FloatUnit>::Scores(q, rows, steps, keys, scores, score_stride);
  }
  static void AddValues(const Word* weights, int64_t weight_stride, int64_t rows, int64_t dim,
                        const SubTiles& values, float* sums) {
    AttentionLoops<FloatUnit>::AddValues(weights, weight_stride, rows, dim, values, sums);
  }

 private:
  template <void (*kSplit)(const std::byte*, Reg&, Reg&), int64_t kElementBytes>
  static void SplitRows(const std::byte* from, const std::byte* ahead, int64_t rows, int64_t len,
                        float* to) {
    constexpr int64_t kStepBytes = 2 * kLanes * kElementBytes;
    for (int64_t row = 0; row < rows; ++row, to += 2 * len) {
      for (int64_t i = 0; i < len; i += kLanes) {
        for (int64_t line = 0; line < kStepBytes; line += 64) __builtin_prefetch(ahead + line);
        Reg even, odd;
        kSplit(from, even, odd);
        V::Store(to + i, even);
        V::Store(to + len + i, odd);
        from += kStepBytes;
        ahead += kStepBytes;
      }
    }
  }
};

}  // namespace oneai::kernels
