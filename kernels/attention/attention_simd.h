// Idea: a tile of 64 keys and values is widened to float32 once and then used by every query row of
// the task (the heads of the group times a few tokens), with a running maximum and sum per row.
// Scores of 16 (8) keys are 16 (8) registers of products whose lanes are summed together at the end
// (SumEach). Bottleneck: the FMA units in prefill, reading the cache in decode. Gain over the
// reference: see benchmarks/kernels/attention_bench.
//
// A row's arithmetic depends on its own position only: tiles start at fixed positions, a tile
// without a visible key is skipped, and positions outside [lo, hi) of a row get weight 0 and are
// not multiplied.
#pragma once

#include "kernels/attention/attention_variants.h"
#include "kernels/cpu/simd_exp.h"

namespace oneai::kernels {

template <class V>
class AttentionTiles {
 public:
  static void Run(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch) {
    AttentionTiles(args, task, reinterpret_cast<float*>(scratch)).Compute();
  }

 private:
  using Reg = typename V::Reg;
  static constexpr int64_t kTile = kAttentionTile;

  AttentionTiles(const AttentionArgs& args, const AttentionTask& task, float* scratch)
      : args_(args),
        task_(task),
        group_(args.num_heads / args.cache.num_kv_heads),
        num_rows_((task.token_end - task.token_begin) * group_),
        head_dim_(args.cache.head_dim),
        padded_((head_dim_ + 15) / 16 * 16),
        keys_(scratch),
        values_(keys_ + kTile * padded_),
        queries_(values_ + kTile * padded_),
        sums_(queries_ + num_rows_ * padded_),
        scores_(sums_ + num_rows_ * padded_),
        max_(scores_ + num_rows_ * kTile),
        total_(max_ + num_rows_) {}

  void Compute() {
    LoadQueries();
    const int64_t first = FirstVisible(args_, Position(0));
    const int64_t last = Position(num_rows_ - 1);
    for (int64_t tile = first / kTile * kTile; tile <= last; tile += kTile) {
      const int64_t lo = first > tile ? first - tile : 0;
      const int64_t hi = last + 1 - tile < kTile ? last + 1 - tile : kTile;
      LoadTile(args_.cache.k, tile, lo, hi, keys_);
      LoadTile(args_.cache.v, tile, lo, hi, values_);
      for (int64_t row = 0; row < num_rows_; ++row) OneRow(row, tile);
    }
    StoreRows();
  }

  // Rows go over the heads of the group first, then over tokens.
  int64_t Position(int64_t row) const {
    return QueryPosition(args_, task_.sequence, task_.token_begin + row / group_);
  }

  void LoadQueries() {
    for (int64_t row = 0; row < num_rows_; ++row) {
      const float* q = args_.q + (task_.token_begin + row / group_) * args_.q_stride +
                       (task_.kv_head * group_ + row % group_) * head_dim_;
      float* to = queries_ + row * padded_;
      float* sum = sums_ + row * padded_;
      for (int64_t i = 0; i < padded_; ++i) {
        to[i] = i < head_dim_ ? q[i] : 0.0f;
        sum[i] = 0.0f;
      }
      max_[row] = -__builtin_inff();
      total_[row] = 0.0f;
    }
  }

  // Widens positions [tile + lo, tile + hi) of the cache to rows lo .. hi of `to`, zeros up to
  // padded_.
  void LoadTile(const void* cache, int64_t tile, int64_t lo, int64_t hi, float* to) {
    for (int64_t p = lo; p < hi; ++p) {
      const int64_t offset = KvOffset(args_, task_.sequence, tile + p, task_.kv_head);
      float* row = to + p * padded_;
      if (args_.cache.dtype == Dtype::kBFloat16) {
        WidenBf16(static_cast<const uint16_t*>(cache) + offset, row);
      } else {
        CopyF32(static_cast<const float*>(cache) + offset, row);
      }
    }
  }

  void WidenBf16(const uint16_t* from, float* to) {
    int64_t i = 0;
    for (; i + V::kLanes <= head_dim_; i += V::kLanes) V::Store(to + i, V::LoadBf16(from + i));
    for (; i < padded_; ++i) {
      const uint32_t bits = i < head_dim_ ? static_cast<uint32_t>(from[i]) << 16 : 0;
      to[i] = __builtin_bit_cast(float, bits);
    }
  }

  void CopyF32(const float* from, float* to) {
    int64_t i = 0;
    for (; i + V::kLanes <= head_dim_; i += V::kLanes) V::Store(to + i, V::Load(from + i));
    for (; i < padded_; ++i) to[i] = i < head_dim_ ? from[i] : 0.0f;
  }

  void OneRow(int64_t row, int64_t tile) {
    const int64_t position = Position(row);
    const int64_t first = FirstVisible(args_, position);
    const int64_t lo = first > tile ? first - tile : 0;
    const int64_t hi = position + 1 - tile < kTile ? position + 1 - tile : kTile;
    if (lo >= hi) return;
    float* scores = scores_ + row * kTile;
    Score(queries_ + row * padded_, lo, hi, scores);
    UpdateSoftmax(row, scores);
    AddValues(scores, lo, hi, sums_ + row * padded_);
  }

  // scores[p] = scale * q k[p] for lo <= p < hi, -inf elsewhere.
  void Score(const float* q, int64_t lo, int64_t hi, float* scores) {
    const Reg scale = V::Set(args_.scale);
    for (int64_t p = 0; p < kTile; p += V::kLanes) {
      if (p + V::kLanes <= lo || p >= hi) {
        V::Store(scores + p, V::Set(-__builtin_inff()));
        continue;
      }
      Reg dot[V::kLanes];
      for (int j = 0; j < V::kLanes; ++j) dot[j] = V::Set(0);
      for (int64_t i = 0; i < padded_; i += V::kLanes) {
        const Reg x = V::Load(q + i);
        const float* k = keys_ + p * padded_ + i;
        for (int j = 0; j < V::kLanes; ++j) {
          dot[j] = V::MulAdd(x, V::Load(k + j * padded_), dot[j]);
        }
      }
      V::Store(scores + p, V::Mul(V::SumEach(dot), scale));
    }
    for (int64_t p = lo / V::kLanes * V::kLanes; p < lo; ++p) scores[p] = -__builtin_inff();
    for (int64_t p = hi; p % V::kLanes != 0; ++p) scores[p] = -__builtin_inff();
  }

  // Turns scores into weights exp(score - max) and brings the row's sums to the new maximum.
  void UpdateSoftmax(int64_t row, float* scores) {
    Reg top = V::Load(scores);
    for (int64_t p = V::kLanes; p < kTile; p += V::kLanes) top = V::Max(top, V::Load(scores + p));
    const float tile_max = V::MaxLanes(top);
    const float max = tile_max > max_[row] ? tile_max : max_[row];
    Reg total = V::Set(0);
    for (int64_t p = 0; p < kTile; p += V::kLanes) {
      const Reg weight = Exp<V>(V::Sub(V::Load(scores + p), V::Set(max)));
      V::Store(scores + p, weight);
      total = V::Add(total, weight);
    }
    if (max != max_[row]) {
      alignas(64) float shrink[V::kLanes];
      V::Store(shrink, Exp<V>(V::Set(max_[row] - max)));
      float* sums = sums_ + row * padded_;
      for (int64_t i = 0; i < padded_; i += V::kLanes) {
        V::Store(sums + i, V::Mul(V::Load(sums + i), V::Set(shrink[0])));
      }
      total_[row] *= shrink[0];
      max_[row] = max;
    }
    total_[row] += V::SumLanes(total);
  }

  // sums += weights[p] * v[p] for lo <= p < hi, in order of p, in slices of 8 registers.
  void AddValues(const float* weights, int64_t lo, int64_t hi, float* sums) {
    constexpr int64_t kSlice = 8 * V::kLanes;
    int64_t i = 0;
    for (; i + kSlice <= padded_; i += kSlice) AddSlice<8>(weights, lo, hi, i, sums);
    for (; i < padded_; i += V::kLanes) AddSlice<1>(weights, lo, hi, i, sums);
  }

  template <int kRegs>
  void AddSlice(const float* weights, int64_t lo, int64_t hi, int64_t i, float* sums) {
    Reg sum[kRegs];
    for (int j = 0; j < kRegs; ++j) sum[j] = V::Load(sums + i + j * V::kLanes);
    for (int64_t p = lo; p < hi; ++p) {
      const Reg weight = V::Set(weights[p]);
      const float* v = values_ + p * padded_ + i;
      for (int j = 0; j < kRegs; ++j) {
        sum[j] = V::MulAdd(weight, V::Load(v + j * V::kLanes), sum[j]);
      }
    }
    for (int j = 0; j < kRegs; ++j) V::Store(sums + i + j * V::kLanes, sum[j]);
  }

  void StoreRows() {
    for (int64_t row = 0; row < num_rows_; ++row) {
      float* out = args_.out + (task_.token_begin + row / group_) * args_.out_stride +
                   (task_.kv_head * group_ + row % group_) * head_dim_;
      const float* sums = sums_ + row * padded_;
      const float inverse = 1.0f / total_[row];
      for (int64_t i = 0; i < head_dim_; ++i) out[i] = sums[i] * inverse;
    }
  }

  const AttentionArgs& args_;
  const AttentionTask& task_;
  const int64_t group_;     // query heads per KV head
  const int64_t num_rows_;  // group_ times tokens
  const int64_t head_dim_;
  const int64_t padded_;  // head_dim_ up to a multiple of 16
  float* const keys_;     // [kTile, padded_]
  float* const values_;   // [kTile, padded_]
  float* const queries_;  // [num_rows_, padded_]
  float* const sums_;     // [num_rows_, padded_]
  float* const scores_;   // [num_rows_, kTile]
  float* const max_;      // [num_rows_]
  float* const total_;    // [num_rows_]
};

}  // namespace oneai::kernels
