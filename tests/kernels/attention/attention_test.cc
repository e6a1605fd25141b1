#include "kernels/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/random_tensor.h"

namespace oneai::kernels {
namespace {

struct Shape {
  int64_t num_heads, num_kv_heads, head_dim, block_tokens, window;
  Dtype dtype;
};

// A batch of sequences in a cache of shuffled blocks; everything that is not written is NaN.
struct Batch {
  Shape shape;
  std::vector<int32_t> query_len, context_len;
  std::vector<float> keys, values;  // [sequence][position][kv_head][head_dim], sequences of max_len
  int64_t max_len = 0;
  std::vector<std::byte> k_cache, v_cache;
  std::vector<int32_t> block_table, seq_start;
  std::vector<float> q;
  int64_t blocks_per_sequence = 0;

  int64_t num_tokens() const { return seq_start.back(); }
  int64_t row() const { return shape.num_kv_heads * shape.head_dim; }
  int64_t block_stride() const { return shape.block_tokens * row() + 32; }

  KvCacheView cache() {
    return {k_cache.data(),     v_cache.data(),     shape.dtype,   block_stride(),
            shape.block_tokens, shape.num_kv_heads, shape.head_dim};
  }
  AttentionArgs args(float* out) {
    const int64_t stride = shape.num_heads * shape.head_dim;
    return {.q = q.data(),
            .q_stride = stride,
            .out = out,
            .out_stride = stride,
            .cache = cache(),
            .block_table = block_table.data(),
            .block_table_stride = blocks_per_sequence,
            .seq_start = seq_start.data(),
            .context_len = context_len.data(),
            .num_sequences = static_cast<int64_t>(query_len.size()),
            .num_heads = shape.num_heads,
            .scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim)),
            .window = shape.window};
  }
};

Batch MakeBatch(const Shape& shape, std::vector<int32_t> query_len,
                std::vector<int32_t> context_len) {
  Batch b{.shape = shape, .query_len = query_len, .context_len = context_len};
  b.max_len = *std::max_element(context_len.begin(), context_len.end());
  b.blocks_per_sequence = (b.max_len + shape.block_tokens - 1) / shape.block_tokens;
  const int64_t sequences = static_cast<int64_t>(query_len.size());
  const int64_t blocks = sequences * b.blocks_per_sequence;
  b.block_table.resize(blocks);
  for (int64_t i = 0; i < blocks; ++i) b.block_table[i] = static_cast<int32_t>(i);
  std::shuffle(b.block_table.begin(), b.block_table.end(), std::mt19937(5));
  b.keys = RandomFloats(sequences * b.max_len * b.row(), 1);
  b.values = RandomFloats(sequences * b.max_len * b.row(), 2);
  // 0xff bytes are NaN in both dtypes: reading what no query may see poisons the result.
  b.k_cache.assign(blocks * b.block_stride() * DtypeBytes(shape.dtype), std::byte{0xff});
  b.v_cache = b.k_cache;
  b.seq_start = {0};
  KernelContext ctx(2);
  for (int64_t s = 0; s < sequences; ++s) {
    std::vector<int64_t> slot;
    for (int64_t p = 0; p < context_len[s]; ++p) {
      slot.push_back(b.block_table[s * b.blocks_per_sequence + p / shape.block_tokens] *
                         shape.block_tokens +
                     p % shape.block_tokens);
    }
    WriteKv({.k = &b.keys[s * b.max_len * b.row()],
             .v = &b.values[s * b.max_len * b.row()],
             .token_stride = b.row(),
             .slot = slot.data(),
             .num_tokens = context_len[s],
             .cache = b.cache()},
            ctx);
    b.seq_start.push_back(b.seq_start.back() + query_len[s]);
  }
  b.q = RandomFloats(b.num_tokens() * shape.num_heads * shape.head_dim, 3);
  return b;
}

// Straight from the contract, on the unpaged keys and values.
void ExpectCorrect(const Batch& b, const std::vector<float>& out, const std::string& name) {
  const Shape& shape = b.shape;
  const int64_t d = shape.head_dim, group = shape.num_heads / shape.num_kv_heads;
  const auto stored = [&](float x) {
    return shape.dtype == Dtype::kFloat32 ? x : ToFloat(ToBFloat16(x));
  };
  for (size_t s = 0; s < b.query_len.size(); ++s) {
    for (int64_t i = 0; i < b.query_len[s]; ++i) {
      const int64_t last = b.context_len[s] - b.query_len[s] + i;
      const int64_t first = shape.window > 0 ? std::max<int64_t>(0, last - shape.window + 1) : 0;
      for (int64_t h = 0; h < shape.num_heads; ++h) {
        const int64_t at = ((b.seq_start[s] + i) * shape.num_heads + h) * d;
        std::vector<double> score;
        double max = -INFINITY, score_magnitude = 0;
        for (int64_t p = first; p <= last; ++p) {
          const int64_t kv = ((s * b.max_len + p) * shape.num_kv_heads + h / group) * d;
          double dot = 0, magnitude = 0;
          for (int64_t j = 0; j < d; ++j) {
            const double term = double{b.q[at + j]} * stored(b.keys[kv + j]);
            dot += term;
            magnitude += std::abs(term);
          }
          score.push_back(dot / std::sqrt(static_cast<double>(d)));
          score_magnitude = std::max(score_magnitude, magnitude / std::sqrt(double(d)));
          max = std::max(max, score.back());
        }
        double total = 0;
        for (double& x : score) total += x = std::exp(x - max);
        for (int64_t j = 0; j < d; ++j) {
          double exact = 0, magnitude = 0;
          for (int64_t p = first; p <= last; ++p) {
            const int64_t kv = ((s * b.max_len + p) * shape.num_kv_heads + h / group) * d;
            const double term = score[p - first] / total * stored(b.values[kv + j]);
            exact += term;
            magnitude += std::abs(term);
          }
          // Weights carry the scores' absolute error (d terms, the scale, the difference); the sums
          // over n positions and their rescaling per tile add one eps per step.
          const double n = static_cast<double>(last - first + 1);
          const double tolerance =
              kFloatEps * magnitude *
              (2 * (static_cast<double>(d) + 4) * score_magnitude + 2 * n + 32);
          ASSERT_NEAR(out[at + j], exact, tolerance)
              << name << " sequence " << s << " token " << i << " head " << h << " dim " << j;
        }
      }
    }
  }
}

const Shape kShapes[] = {
    {2, 2, 16, 16, 0, Dtype::kFloat32},   {4, 2, 128, 16, 0, Dtype::kBFloat16},
    {6, 2, 20, 7, 0, Dtype::kFloat32},    {4, 1, 33, 16, 0, Dtype::kBFloat16},
    {8, 2, 64, 16, 5, Dtype::kBFloat16},  {2, 1, 32, 4, 70, Dtype::kFloat32},
    {40, 2, 16, 16, 0, Dtype::kBFloat16},  // a group larger than a query tile
};

TEST(AttentionTest, EveryVariantMatchesTheDefinition) {
  for (const Shape& shape : kShapes) {
    // Whole prefill, chunk behind a context, decode, nothing to do, more than a tile.
    Batch b = MakeBatch(shape, {5, 9, 1, 0, 70, 1}, {5, 150, 64, 3, 70, 1});
    for (const Variant<AttentionFn>& variant : AttentionVariants()) {
      if (!variant.is_supported(GetCpuInfo().features)) continue;
      for (const int threads : {1, 3}) {
        KernelContext ctx(threads);
        std::vector<float> out(b.q.size(), NAN);
        AttentionWith(variant, b.args(out.data()), ctx);
        ExpectCorrect(b, out, std::string(variant.name));
      }
    }
  }
}

TEST(AttentionTest, QueryIsBitIdenticalInAnyChunkAndAsADecodeStep) {
  for (const Shape& shape : kShapes) {
    constexpr int32_t kLength = 150;
    Batch whole = MakeBatch(shape, {kLength}, {kLength});
    const int64_t row = shape.num_heads * shape.head_dim;
    for (const Variant<AttentionFn>& variant : AttentionVariants()) {
      if (!variant.is_supported(GetCpuInfo().features)) continue;
      KernelContext ctx(2);
      std::vector<float> expected(whole.q.size());
      AttentionWith(variant, whole.args(expected.data()), ctx);
      for (const int32_t chunk : {1, 2, 13, 64, 149}) {
        std::vector<float> out(whole.q.size(), NAN);
        for (int32_t begin = 0; begin < kLength; begin += chunk) {
          const int32_t end = std::min(kLength, begin + chunk);
          const int32_t seq_start[] = {0, end - begin};
          AttentionArgs args = whole.args(out.data() + begin * row);
          args.q = whole.q.data() + begin * row;
          args.seq_start = seq_start;
          args.context_len = &end;
          AttentionWith(variant, args, ctx);
        }
        ASSERT_EQ(std::memcmp(out.data(), expected.data(), out.size() * sizeof(float)), 0)
            << variant.name << " chunk " << chunk;
      }
    }
  }
}

TEST(AttentionTest, HugeScoresPickTheBestKey) {
  Batch b = MakeBatch({1, 1, 16, 16, 0, Dtype::kFloat32}, {1}, {100});
  for (float& x : b.q) x *= 1e4f;
  for (const Variant<AttentionFn>& variant : AttentionVariants()) {
    if (!variant.is_supported(GetCpuInfo().features)) continue;
    KernelContext ctx(1);
    std::vector<float> out(16, NAN);
    AttentionWith(variant, b.args(out.data()), ctx);
    int64_t best = 0;
    double best_score = -INFINITY;
    for (int64_t p = 0; p < 100; ++p) {
      double dot = 0;
      for (int64_t j = 0; j < 16; ++j) dot += double{b.q[j]} * b.keys[p * 16 + j];
      if (dot > best_score) best_score = dot, best = p;
    }
    for (int64_t j = 0; j < 16; ++j) EXPECT_FLOAT_EQ(out[j], b.values[best * 16 + j]);
  }
}

TEST(AttentionTest, EmptyBatchIsANoOp) {
  KernelContext ctx(2);
  const int32_t seq_start[] = {0, 0};
  const int32_t context_len[] = {0};
  AttentionArgs args{.cache = {.block_tokens = 16, .num_kv_heads = 1, .head_dim = 16},
                     .seq_start = seq_start,
                     .context_len = context_len,
                     .num_heads = 1};
  Attention(args, ctx);
  args.num_sequences = 1;
  Attention(args, ctx);
}

TEST(WriteKvTest, SkipsNegativeSlotsAndRounds) {
  std::vector<BFloat16> k(4 * 3, BFloat16{0x1234}), v = k;
  const std::vector<float> in = RandomFloats(2 * 3, 9);
  const int64_t slot[] = {-1, 3};
  KernelContext ctx(1);
  WriteKv({.k = in.data(),
           .v = in.data(),
           .token_stride = 3,
           .slot = slot,
           .num_tokens = 2,
           .cache = {k.data(), v.data(), Dtype::kBFloat16, 6, 2, 1, 3}},
          ctx);
  for (int i = 0; i < 9; ++i) EXPECT_EQ(k[i].bits, 0x1234);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(k[9 + i].bits, ToBFloat16(in[3 + i]).bits);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(v[9 + i].bits, ToBFloat16(in[3 + i]).bits);
}

}  // namespace
}  // namespace oneai::kernels
