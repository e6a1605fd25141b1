// Idea: one pass over the cache per KV head serves every query row of the task (the heads of the
// group times a few tokens). Keys and values lie in the cache as the unit multiplies them, so a
// bf16 cache is read in place; other formats are widened into a tile in the first-level cache.
// Between the two products stand a running maximum and sum per row (arXiv:2205.14135). Bottleneck:
// reading the cache in decode, the unit and then exp in prefill. Measured:
// benchmarks/kernels/attention_bench.
//
// A row's arithmetic depends on its own position only: tiles and chunks start at fixed positions,
// keys that the row does not see get score -inf and so weight 0, and a chunk's sums are combined
// with those of the chunks before it in order.
#pragma once

#include <cstring>

#include "kernels/attention/attention_loops.h"
#include "kernels/attention/attention_variants.h"
#include "kernels/cpu/simd_exp.h"

namespace oneai::kernels {

template <class Unit>
class AttentionPass {
 public:
  static void Run(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch) {
    AttentionPass pass(args, task, reinterpret_cast<float*>(scratch));
    task.step == AttentionStep::kMerge ? pass.MergePartials() : pass.Compute();
  }

 private:
  using V = typename Unit::V;
  using Reg = typename V::Reg;
  static constexpr int64_t kTile = kAttentionTile;
  static constexpr int kTileRegs = static_cast<int>(kSubTile / V::kLanes);

  AttentionPass(const AttentionArgs& args, const AttentionTask& task, float* scratch)
      : args_(args),
        task_(task),
        cache_(args.cache),
        group_(GroupSize(args)),
        num_rows_((task.token_end - task.token_begin) * group_),
        dim_(PaddedHeadDim(args)),
        is_scaled_(cache_.format == KvCacheFormat::kInt8),
        in_tiles_(cache_.block_tokens % kSubTile == 0 && cache_.head_dim == dim_),
        first_(FirstVisible(args, Position(0))),
        last_(Position(num_rows_ - 1)),
        tile_(reinterpret_cast<Word*>(scratch)),
        k_scale_(scratch + kTile * dim_),
        v_scale_(k_scale_ + kTile),
        queries_(reinterpret_cast<Word*>(v_scale_ + kTile)),
        sums_(v_scale_ + kTile + num_rows_ * dim_),
        done_sums_(sums_ + num_rows_ * dim_),
        scores_(done_sums_ + num_rows_ * dim_),
        weights_(reinterpret_cast<Word*>(scores_ + num_rows_ * kTile)),
        lanes_(scores_ + 2 * num_rows_ * kTile),
        rows_(reinterpret_cast<RowState*>(lanes_ + num_rows_ * 16)) {}

  // One line per row: the maximum in the chunk, and what the chunks before came to.
  struct alignas(16) RowState {
    float max;
    float done_max;
    float done_total;
  };

  void Compute() {
    for (int64_t row = 0; row < num_rows_; ++row) {
      Unit::PackQuery(Query(row), cache_.head_dim, dim_, queries_ + row * QueryWords());
      rows_[row].done_max = -__builtin_inff();
    }
    for (int64_t chunk = task_.chunk_begin; chunk < task_.chunk_end; ++chunk) {
      StartChunk();
      const int64_t begin = Max(first_, chunk * kAttentionChunk);
      const int64_t end = Min(last_ + 1, (chunk + 1) * kAttentionChunk);
      for (int64_t tile = begin / kTile * kTile; tile < end; tile += kTile) OneTile(tile);
      for (int64_t row = 0; row < num_rows_; ++row) FinishChunk(row, chunk);
    }
    if (task_.step == AttentionStep::kWhole) StoreRows();
  }

  static int64_t Max(int64_t a, int64_t b) { return a > b ? a : b; }
  static int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }

  // Rows go over the query heads of the group first, then over tokens.
  int64_t Token(int64_t row) const { return task_.token_begin + row / group_; }
  int64_t Position(int64_t row) const { return QueryPosition(args_, task_.sequence, Token(row)); }
  int64_t HeadOffset(int64_t row) const {
    return (task_.kv_head * group_ + row % group_) * cache_.head_dim;
  }
  const float* Query(int64_t row) const {
    return args_.q + Token(row) * args_.q_stride + HeadOffset(row);
  }
  int64_t QueryWords() const { return dim_ / Unit::kRowPack; }

  void StartChunk() {
    for (int64_t i = 0; i < num_rows_ * dim_; i += V::kLanes) V::Store(sums_ + i, V::Set(0));
    for (int64_t i = 0; i < num_rows_ * 16; i += V::kLanes) V::Store(lanes_ + i, V::Set(0));
    for (int64_t row = 0; row < num_rows_; ++row) rows_[row].max = -__builtin_inff();
  }

  // The sub-tiles of a tile that some row of the task sees, in whole steps of the unit.
  struct Span {
    int64_t begin, end;
  };
  Span Seen(int64_t tile) const {
    constexpr int64_t kStep = kSubTile * Unit::kSubTileStep;
    return {Max(first_ - tile, 0) / kStep * Unit::kSubTileStep,
            (Min(last_ + 1 - tile, kTile) + kStep - 1) / kStep * Unit::kSubTileStep};
  }

  void OneTile(int64_t tile) {
    const Span seen = Seen(tile);
    SubTiles subs;
    LoadTile<true>(tile, seen, subs);
    const int64_t from = seen.begin * kSubTile;
    Unit::Scores(queries_, num_rows_, QueryWords(), subs, scores_ + from, kTile);
    for (int64_t row = 0; row < num_rows_; ++row) Weigh(row, tile, seen);
    LoadTile<false>(tile, seen, subs);
    Unit::AddValues(weights_ + from / Unit::kRowPack, kTile, num_rows_, dim_, subs, sums_);
  }

  // Where the sub-tile at `position` lies in the cache; only for in_tiles_.
  template <bool kKeys>
  const std::byte* SubTileAt(int64_t position) const {
    const int64_t block = BlockOf(position), t = position % cache_.block_tokens;
    return Plane<kKeys>() + KvHeadOffset(cache_, block, task_.kv_head) +
           t * dim_ * KvElementBytes(cache_.format);
  }
  template <bool kKeys>
  const std::byte* ScaleAt(int64_t position) const {
    return Plane<kKeys>() + KvScaleOffset(cache_, BlockOf(position), task_.kv_head) +
           position % cache_.block_tokens * static_cast<int64_t>(sizeof(float));
  }
  template <bool kKeys>
  const std::byte* Plane() const {
    return static_cast<const std::byte*>(kKeys ? cache_.k : cache_.v);
  }
  int64_t BlockOf(int64_t position) const {
    return args_
        .block_table[task_.sequence * args_.block_table_stride + position / cache_.block_tokens];
  }

  template <bool kKeys>
  void LoadTile(int64_t tile, const Span& seen, SubTiles& subs) {
    subs.count = static_cast<int>(seen.end - seen.begin);
    subs.ahead_shift = cache_.format == KvCacheFormat::kInt8 ? 1 : 0;
    for (int64_t s = seen.begin; s < seen.end; ++s) {
      const int64_t position = tile + s * kSubTile;
      const int64_t lo = Max(first_ - position, 0), hi = Min(last_ + 1 - position, kSubTile);
      Word* to = tile_ + s * kSubTile * dim_ / Unit::kPack;
      const int64_t at = s - seen.begin;
      subs.words[at] = to;
      subs.ahead[at] = nullptr;
      if (lo >= hi || !in_tiles_) {
        Gather<kKeys>(position, lo, hi, to);
      } else {
        subs.words[at] = ReadSubTile<kKeys>(tile, position, to, subs.ahead[at]);
        if (!kKeys && hi - lo < kSubTile) subs.words[at] = ClearOutside(subs.words[at], lo, hi, to);
      }
      if (kKeys && is_scaled_) {  // the values' too: they go into the weights
        LoadScales<true>(position, lo, hi, k_scale_ + s * kSubTile);
        LoadScales<false>(position, lo, hi, v_scale_ + s * kSubTile);
      }
    }
  }

  // The sub-tile as words, in place or at `to`. What will be read one tile later is prefetched by
  // the unit while it widens, or `ahead` tells the product to.
  template <bool kKeys>
  const Word* ReadSubTile(int64_t tile, int64_t position, Word* to, const std::byte*& ahead) const {
    const std::byte* from = SubTileAt<kKeys>(position);
    const bool has_next = position + kTile <= last_;
    const std::byte* next = has_next ? SubTileAt<kKeys>(position + kTile) : from;
    if (is_scaled_ && has_next) __builtin_prefetch(ScaleAt<kKeys>(position + kTile));
    const Word* words = Unit::template Expand<kKeys>(cache_.format, from, next, dim_, to);
    ahead = Unit::kProductAsks && tile + kTile <= last_ ? next : nullptr;
    return words;
  }

  // Element by element, for head sizes and blocks that are no whole tiles; zero outside [lo, hi).
  template <bool kKeys>
  void Gather(int64_t position, int64_t lo, int64_t hi, Word* to) const {
    std::memset(to, 0, kSubTile * dim_ / Unit::kPack * sizeof(uint32_t));
    for (int64_t t = lo; t < hi; ++t) {
      const int64_t block = BlockOf(position + t), slot = (position + t) % cache_.block_tokens;
      const std::byte* from = Plane<kKeys>() + KvHeadOffset(cache_, block, task_.kv_head);
      for (int64_t i = 0; i < cache_.head_dim; ++i) {
        if constexpr (kKeys) {
          Unit::Put(Element(from, KvKeyIndex(cache_, slot, i)),
                    (i / Unit::kPack * kSubTile + t) * Unit::kPack + i % Unit::kPack, to);
        } else {
          Unit::Put(Element(from, KvValueIndex(cache_, slot, i)),
                    (t / Unit::kPack * dim_ + i) * Unit::kPack + t % Unit::kPack, to);
        }
      }
    }
  }

  float Element(const std::byte* from, int64_t index) const {
    switch (cache_.format) {
      case KvCacheFormat::kBf16:
        return ToFloat(reinterpret_cast<const BFloat16*>(from)[index]);
      case KvCacheFormat::kF32:
        return reinterpret_cast<const float*>(from)[index];
      case KvCacheFormat::kInt8:
        return static_cast<float>(static_cast<int8_t>(from[index]));
    }
    return 0;
  }

  // Values of tokens that nobody sees may be NaN, which weight 0 does not silence.
  const Word* ClearOutside(const Word* words, int64_t lo, int64_t hi, Word* to) {
    for (int64_t j = 0; j < kSubTile / Unit::kPack; ++j) {
      uint32_t mask = 0;
      for (int64_t half = 0; half < Unit::kPack; ++half) {
        const int64_t t = j * Unit::kPack + half;
        if (t >= lo && t < hi) mask |= Unit::kPack == 1 ? ~0u : 0xffffu << (16 * half);
      }
      for (int64_t i = 0; i < dim_; ++i) to[j * dim_ + i] = words[j * dim_ + i] & mask;
    }
    return to;
  }

  template <bool kKeys>
  void LoadScales(int64_t position, int64_t lo, int64_t hi, float* to) const {
    for (int64_t t = 0; t < kSubTile; ++t) to[t] = 0;
    if (lo >= hi) return;
    if (in_tiles_) {
      std::memcpy(to + lo, ScaleAt<kKeys>(position + lo), (hi - lo) * sizeof(float));
    } else {
      for (int64_t t = lo; t < hi; ++t) {
        std::memcpy(to + t, ScaleAt<kKeys>(position + t), sizeof(float));
      }
    }
  }

  // Turns the row's products with the tile's keys into weights exp(score - max), and brings its
  // sums to the new maximum.
  void Weigh(int64_t row, int64_t tile, const Span& seen) {
    const int64_t position = Position(row);
    const int64_t lo = Max(FirstVisible(args_, position) - tile, 0);
    const int64_t hi = Min(position + 1 - tile, kTile);
    const int64_t begin = seen.begin * kSubTile, end = seen.end * kSubTile;
    Word* weights = weights_ + row * kTile;
    if (lo >= hi) {
      for (int64_t i = begin / Unit::kRowPack; i < end / Unit::kRowPack; ++i) weights[i] = 0;
      return;
    }
    float* scores = scores_ + row * kTile;
    ScaleScores(begin, end, scores);
    for (int64_t p = begin; p < lo; ++p) scores[p] = -__builtin_inff();
    for (int64_t p = hi; p < end; ++p) scores[p] = -__builtin_inff();
    Reg top = V::Load(scores + begin);
    for (int64_t p = begin + V::kLanes; p < end; p += V::kLanes) {
      top = V::Max(top, V::Load(scores + p));
    }
    const float tile_max = V::MaxLanes(top);
    if (tile_max > rows_[row].max) RaiseMax(row, tile_max);

    const Reg max = V::Set(rows_[row].max);
    Reg total = V::Load(lanes_ + row * 16);
    for (int64_t p = begin; p < end; p += kSubTile) {
      Reg weight[kTileRegs];
      for (int n = 0; n < kTileRegs; ++n) {
        weight[n] = Exp<V>(V::Sub(V::Load(scores + p + n * V::kLanes), max));
      }
      Unit::PutWeights(weight, is_scaled_ ? v_scale_ + p : nullptr, total,
                       weights + p / Unit::kRowPack);
    }
    V::Store(lanes_ + row * 16, total);
  }

  void ScaleScores(int64_t begin, int64_t end, float* scores) {
    const Reg scale = V::Set(args_.scale);
    for (int64_t p = begin; p < end; p += V::kLanes) {
      Reg score = V::Mul(V::Load(scores + p), scale);
      if (is_scaled_) score = V::Mul(score, V::Load(k_scale_ + p));
      V::Store(scores + p, score);
    }
  }

  void RaiseMax(int64_t row, float max) {
    RowState& state = rows_[row];
    if (state.max != -__builtin_inff()) {
      const Reg shrink = Exp<V>(V::Set(state.max - max));
      ScaleRow(sums_ + row * dim_, dim_, shrink);
      ScaleRow(lanes_ + row * 16, V::kLanes, shrink);
    }
    state.max = max;
  }

  static void ScaleRow(float* x, int64_t count, Reg factor) {
    for (int64_t i = 0; i < count; i += V::kLanes) V::Store(x + i, V::Mul(V::Load(x + i), factor));
  }

  // Hands the chunk's result on: to memory, or to what the task's chunks before it came to.
  void FinishChunk(int64_t row, int64_t chunk) {
    const float total = V::SumLanes(V::Load(lanes_ + row * 16));
    const float* sums = sums_ + row * dim_;
    if (task_.step == AttentionStep::kWhole) return Merge(row, sums, rows_[row].max, total);
    float* partial = PartialOf(row, chunk);
    std::memcpy(partial, sums, dim_ * sizeof(float));
    partial[dim_] = rows_[row].max;
    partial[dim_ + 1] = total;
  }

  float* PartialOf(int64_t row, int64_t chunk) const {
    const int64_t first = FirstChunk(args_, task_), count = EndChunk(args_, task_) - first;
    return task_.partials + (row * count + chunk - first) * AttentionPartialFloats(args_);
  }

  void Merge(int64_t row, const float* sums, float max, float total) {
    if (max == -__builtin_inff()) return;  // a chunk of which the row sees nothing
    RowState& state = rows_[row];
    float* done = done_sums_ + row * dim_;
    if (state.done_max == -__builtin_inff()) {
      std::memcpy(done, sums, dim_ * sizeof(float));
      state.done_max = max;
      state.done_total = total;
      return;
    }
    const float top = max > state.done_max ? max : state.done_max;
    const Reg before = Exp<V>(V::Set(state.done_max - top)), now = Exp<V>(V::Set(max - top));
    for (int64_t i = 0; i < dim_; i += V::kLanes) {
      V::Store(done + i, V::MulAdd(V::Load(done + i), before, V::Mul(V::Load(sums + i), now)));
    }
    alignas(64) float lane[V::kLanes];
    V::Store(lane, V::MulAdd(V::Set(state.done_total), before, V::Mul(V::Set(total), now)));
    state.done_total = lane[0];
    state.done_max = top;
  }

  void MergePartials() {
    for (int64_t row = 0; row < num_rows_; ++row) {
      rows_[row].done_max = -__builtin_inff();
      for (int64_t chunk = task_.chunk_begin; chunk < task_.chunk_end; ++chunk) {
        const float* partial = PartialOf(row, chunk);
        Merge(row, partial, partial[dim_], partial[dim_ + 1]);
      }
    }
    StoreRows();
  }

  // Adding 0 makes a zero positive: products with weight 0 may have left either sign.
  void StoreRows() {
    for (int64_t row = 0; row < num_rows_; ++row) {
      float* out = args_.out + Token(row) * args_.out_stride + HeadOffset(row);
      const float* done = done_sums_ + row * dim_;
      const float inverse = 1.0f / rows_[row].done_total;
      for (int64_t i = 0; i < cache_.head_dim; ++i) out[i] = done[i] * inverse + 0.0f;
    }
  }

  const AttentionArgs& args_;
  const AttentionTask& task_;
  const KvCacheView& cache_;
  const int64_t group_;
  const int64_t num_rows_;
  const int64_t dim_;           // head_dim, padded
  const bool is_scaled_;        // the format has scales
  const bool in_tiles_;         // 16 tokens of a head are one piece of the cache
  const int64_t first_, last_;  // positions that the task's rows see
  Word* const tile_;            // [kTile * dim_ / kPack] words, keys first, then values
  float* const k_scale_;        // [kTile]
  float* const v_scale_;        // [kTile]
  Word* const queries_;         // [num_rows_][dim_ / kRowPack] words
  float* const sums_;           // [num_rows_][dim_], of this chunk
  float* const done_sums_;      // [num_rows_][dim_], of the chunks before
  float* const scores_;         // [num_rows_][kTile]
  Word* const weights_;         // [num_rows_][kTile] words
  float* const lanes_;          // [num_rows_][16], whose sum is the chunk's total
  RowState* const rows_;        // [num_rows_]
};

}  // namespace oneai::kernels
