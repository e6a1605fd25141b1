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
        num_heads_(task.kv_head_end - task.kv_head_begin),
        rows_per_head_((task.token_end - task.token_begin) * group_),
        num_rows_(num_heads_ * rows_per_head_),
        head_dim_(args.cache.head_dim),
        padded_((head_dim_ + 15) / 16 * 16),
        tile_(scratch),
        queries_(tile_ + num_heads_ * kTile * padded_),
        sums_(queries_ + num_rows_ * padded_),
        scores_(sums_ + num_rows_ * padded_),
        max_(scores_ + num_rows_ * kTile),
        total_(max_ + num_rows_) {}

  void Compute() {
    LoadQueries();
    const KvCacheView& cache = args_.cache;
    const int64_t first = FirstVisible(args_, Position(0));
    const int64_t last = Position(num_rows_ - 1);
    for (int64_t tile = first / kTile * kTile; tile <= last; tile += kTile) {
      const int64_t begin = first > tile ? first : tile;
      const int64_t end = last + 1 < tile + kTile ? last + 1 : tile + kTile;
      const int64_t next_end = last + 1 < end + kTile ? last + 1 : end + kTile;
      LoadTile(cache.k, tile, begin, end, cache.v, begin, end);
      for (int64_t row = 0; row < num_rows_; ++row) Weigh(row, tile);
      LoadTile(cache.v, tile, begin, end, cache.k, end, next_end);
      for (int64_t row = 0; row < num_rows_; ++row) AddValues(row, tile);
    }
    StoreRows();
  }

  // Rows go over the query heads of a group first, then over tokens, then over KV heads.
  int64_t Token(int64_t row) const { return task_.token_begin + row % rows_per_head_ / group_; }
  int64_t Position(int64_t row) const { return QueryPosition(args_, task_.sequence, Token(row)); }
  int64_t QueryHead(int64_t row) const {
    return (task_.kv_head_begin + row / rows_per_head_) * group_ + row % group_;
  }
  const float* TileOf(int64_t row) const { return tile_ + row / rows_per_head_ * kTile * padded_; }

  void LoadQueries() {
    for (int64_t row = 0; row < num_rows_; ++row) {
      const float* q = args_.q + Token(row) * args_.q_stride + QueryHead(row) * head_dim_;
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

  // Walks positions of the sequence through the block table without a division per step.
  struct Cursor {
    const int32_t* block;
    int64_t slot;
  };
  Cursor At(int64_t position) const {
    const int64_t block_tokens = args_.cache.block_tokens;
    return {args_.block_table + task_.sequence * args_.block_table_stride + position / block_tokens,
            position % block_tokens};
  }
  int64_t OffsetOf(const Cursor& c) const {
    const KvCacheView& cache = args_.cache;
    return *c.block * cache.block_stride +
           (c.slot * cache.num_kv_heads + task_.kv_head_begin) * head_dim_;
  }
  void Advance(Cursor& c) const {
    if (++c.slot == args_.cache.block_tokens) {
      c.slot = 0;
      ++c.block;
    }
  }

  // Widens positions [begin, end) of `cache` to rows begin - tile .. of every head's tile, and
  // meanwhile asks for the rows that come next: with one head they lie num_kv_heads rows apart,
  // where no hardware prefetcher finds them.
  void LoadTile(const void* cache, int64_t tile, int64_t begin, int64_t end, const void* next_cache,
                int64_t next_begin, int64_t next_end) {
    const int64_t element_bytes = DtypeBytes(args_.cache.dtype);
    const int64_t bytes = num_heads_ * head_dim_ * element_bytes;
    Cursor at = At(begin);
    Cursor next = next_begin < next_end ? At(next_begin) : at;
    for (int64_t p = begin; p < end; ++p, Advance(at)) {
      if (next_begin < next_end) {
        const std::byte* ahead =
            static_cast<const std::byte*>(next_cache) + OffsetOf(next) * element_bytes;
        for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(ahead + i, 0, 2);
        ++next_begin;
        Advance(next);
      }
      const std::byte* from = static_cast<const std::byte*>(cache) + OffsetOf(at) * element_bytes;
      float* row = tile_ + (p - tile) * padded_;
      for (int64_t h = 0; h < num_heads_; ++h) {
        if (args_.cache.dtype == Dtype::kBFloat16) {
          WidenBf16(reinterpret_cast<const uint16_t*>(from), row);
        } else {
          CopyF32(reinterpret_cast<const float*>(from), row);
        }
        from += head_dim_ * element_bytes;
        row += kTile * padded_;
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

  // Positions [lo, hi) of the tile that `row` sees; lo >= hi: none.
  struct Range {
    int64_t lo, hi;
  };
  Range Visible(int64_t row, int64_t tile) const {
    const int64_t position = Position(row);
    const int64_t first = FirstVisible(args_, position);
    return {first > tile ? first - tile : 0,
            position + 1 - tile < kTile ? position + 1 - tile : kTile};
  }

  // Turns the tile's keys into the row's weights.
  void Weigh(int64_t row, int64_t tile) {
    const auto [lo, hi] = Visible(row, tile);
    if (lo >= hi) return;
    float* scores = scores_ + row * kTile;
    Score(queries_ + row * padded_, TileOf(row), lo, hi, scores);
    UpdateSoftmax(row, scores);
  }

  // scores[p] = scale * q k[p] for lo <= p < hi, -inf elsewhere.
  void Score(const float* q, const float* keys, int64_t lo, int64_t hi, float* scores) {
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
        const float* k = keys + p * padded_ + i;
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
  void AddValues(int64_t row, int64_t tile) {
    const auto [lo, hi] = Visible(row, tile);
    const float* weights = scores_ + row * kTile;
    const float* values = TileOf(row);
    float* sums = sums_ + row * padded_;
    constexpr int64_t kSlice = 8 * V::kLanes;
    int64_t i = 0;
    for (; i + kSlice <= padded_; i += kSlice) AddSlice<8>(weights, values + i, lo, hi, sums + i);
    for (; i < padded_; i += V::kLanes) AddSlice<1>(weights, values + i, lo, hi, sums + i);
  }

  template <int kRegs>
  void AddSlice(const float* weights, const float* values, int64_t lo, int64_t hi, float* sums) {
    Reg sum[kRegs];
    for (int j = 0; j < kRegs; ++j) sum[j] = V::Load(sums + j * V::kLanes);
    for (int64_t p = lo; p < hi; ++p) {
      const Reg weight = V::Set(weights[p]);
      const float* v = values + p * padded_;
      for (int j = 0; j < kRegs; ++j) {
        sum[j] = V::MulAdd(weight, V::Load(v + j * V::kLanes), sum[j]);
      }
    }
    for (int j = 0; j < kRegs; ++j) V::Store(sums + j * V::kLanes, sum[j]);
  }

  void StoreRows() {
    for (int64_t row = 0; row < num_rows_; ++row) {
      float* out = args_.out + Token(row) * args_.out_stride + QueryHead(row) * head_dim_;
      const float* sums = sums_ + row * padded_;
      const float inverse = 1.0f / total_[row];
      for (int64_t i = 0; i < head_dim_; ++i) out[i] = sums[i] * inverse;
    }
  }

  const AttentionArgs& args_;
  const AttentionTask& task_;
  const int64_t group_;          // query heads per KV head
  const int64_t num_heads_;      // KV heads
  const int64_t rows_per_head_;  // group_ times tokens
  const int64_t num_rows_;
  const int64_t head_dim_;
  const int64_t padded_;  // head_dim_ up to a multiple of 16
  float* const tile_;     // [num_heads_, kTile, padded_], keys first, then values
  float* const queries_;  // [num_rows_, padded_]
  float* const sums_;     // [num_rows_, padded_]
  float* const scores_;   // [num_rows_, kTile]
  float* const max_;      // [num_rows_]
  float* const total_;    // [num_rows_]
};

}  // namespace oneai::kernels
