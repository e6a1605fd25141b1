#include "kernels/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/kernels/random_tensor.h"

namespace oneai::kernels {
namespace {

struct Shape {
  int64_t num_heads, num_kv_heads, head_dim, block_tokens, window;
  KvCacheFormat format;
};
constexpr KvCacheFormat kBf16 = KvCacheFormat::kBf16, kF32 = KvCacheFormat::kF32,
                        kInt8 = KvCacheFormat::kInt8;

// A batch of sequences in a cache of shuffled blocks; everything that is not written is NaN (for
// int8, in its scales).
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
  int64_t block_stride() const {
    return shape.num_kv_heads * KvHeadBytes(shape.format, shape.block_tokens, shape.head_dim) + 64;
  }

  KvCacheView cache() {
    return {k_cache.data(),     v_cache.data(),     shape.format,  block_stride(),
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

// Writes all keys and values to the cache.
void WriteCache(Batch& b) {
  const Shape& shape = b.shape;
  KernelContext ctx(2);
  for (size_t s = 0; s < b.context_len.size(); ++s) {
    std::vector<int64_t> slot;
    for (int64_t p = 0; p < b.context_len[s]; ++p) {
      slot.push_back(b.block_table[s * b.blocks_per_sequence + p / shape.block_tokens] *
                         shape.block_tokens +
                     p % shape.block_tokens);
    }
    WriteKv({.k = &b.keys[s * b.max_len * b.row()],
             .v = &b.values[s * b.max_len * b.row()],
             .token_stride = b.row(),
             .slot = slot.data(),
             .num_tokens = b.context_len[s],
             .cache = b.cache()},
            ctx);
  }
}

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
  // 0xff bytes are NaN in both float formats: reading what no query may see poisons the result.
  b.k_cache.assign(blocks * b.block_stride(), std::byte{0xff});
  b.v_cache = b.k_cache;
  b.seq_start = {0};
  for (const int32_t len : query_len) b.seq_start.push_back(b.seq_start.back() + len);
  WriteCache(b);
  b.q = RandomFloats(b.num_tokens() * shape.num_heads * shape.head_dim, 3);
  return b;
}

// What the cache holds of `row`, and how far a multiplication may be off because of it.
struct Stored {
  std::vector<double> x;
};
Stored Store(const float* row, int64_t count, KvCacheFormat format) {
  Stored stored;
  float magnitude = 0;
  for (int64_t i = 0; i < count; ++i) magnitude = std::max(magnitude, std::abs(row[i]));
  for (int64_t i = 0; i < count; ++i) {
    switch (format) {
      case KvCacheFormat::kF32:
        stored.x.push_back(row[i]);
        break;
      case KvCacheFormat::kBf16:
        stored.x.push_back(ToFloat(ToBFloat16(row[i])));
        break;
      case KvCacheFormat::kInt8:
        stored.x.push_back(double{magnitude / 127.0f} *
                           std::nearbyint(row[i] * (127.0f / magnitude)));
        break;
    }
  }
  return stored;
}

// Straight from the contract, on the unpaged keys and values. `operand_eps` is the relative error
// with which the variant multiplies q and the weights.
void ExpectCorrect(const Batch& b, const std::vector<float>& out, const std::string& name,
                   double operand_eps) {
  const Shape& shape = b.shape;
  const int64_t d = shape.head_dim, group = shape.num_heads / shape.num_kv_heads;
  for (size_t s = 0; s < b.query_len.size(); ++s) {
    for (int64_t kv_head = 0; kv_head < shape.num_kv_heads; ++kv_head) {
      std::vector<Stored> keys, values;
      for (int64_t p = 0; p < b.context_len[s]; ++p) {
        const int64_t at = ((s * b.max_len + p) * shape.num_kv_heads + kv_head) * d;
        keys.push_back(Store(&b.keys[at], d, shape.format));
        values.push_back(Store(&b.values[at], d, shape.format));
      }
      for (int64_t i = 0; i < b.query_len[s]; ++i) {
        const int64_t last = b.context_len[s] - b.query_len[s] + i;
        const int64_t first = shape.window > 0 ? std::max<int64_t>(0, last - shape.window + 1) : 0;
        for (int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
          const int64_t at = ((b.seq_start[s] + i) * shape.num_heads + h) * d;
          std::vector<double> score;
          double max = -INFINITY, score_magnitude = 0;
          for (int64_t p = first; p <= last; ++p) {
            double dot = 0, magnitude = 0;
            for (int64_t j = 0; j < d; ++j) {
              const double term = double{b.q[at + j]} * keys[p].x[j];
              dot += term;
              magnitude += std::abs(term);
            }
            score.push_back(dot / std::sqrt(static_cast<double>(d)));
            score_magnitude = std::max(score_magnitude, magnitude / std::sqrt(double(d)));
            max = std::max(max, score.back());
          }
          double total = 0;
          for (double& x : score) total += x = std::exp(x - max);
          // Scores carry an absolute error (d terms, the scales, the difference; q's rounding), and
          // a weight that relative error and its own rounding; the sums over n positions and their
          // rescaling per tile and chunk add one eps per step. Both errors count twice: the total
          // has them too.
          const double n = static_cast<double>(last - first + 1);
          const double score_error = score_magnitude * (kFloatEps * (double(d) + 6) + operand_eps);
          const double weight_error = std::expm1(score_error) + operand_eps;
          for (int64_t j = 0; j < d; ++j) {
            double exact = 0, magnitude = 0;
            for (int64_t p = first; p <= last; ++p) {
              const double term = score[p - first] / total * values[p].x[j];
              exact += term;
              magnitude += std::abs(term);
            }
            const double tolerance =
                magnitude * (2 * weight_error + kFloatEps * (2 * n + 40)) + kFloatMin;
            ASSERT_NEAR(out[at + j], exact, tolerance)
                << name << " head_dim " << d << " group " << group << " block_tokens "
                << shape.block_tokens << " sequence " << s << " token " << i << " head " << h
                << " dim " << j;
          }
        }
      }
    }
  }
}

const Shape kShapes[] = {
    {2, 2, 16, 16, 0, kF32},    {4, 2, 128, 16, 0, kBf16},
    {6, 2, 20, 7, 0, kF32},     {4, 1, 34, 16, 0, kBf16},
    {8, 2, 64, 16, 5, kBf16},   {2, 1, 32, 4, 70, kF32},
    {4, 2, 128, 16, 0, kInt8},  {5, 1, 64, 32, 40, kInt8},
    {3, 3, 22, 6, 0, kInt8},    {7, 1, 64, 1, 0, kBf16},
    {2, 1, 256, 48, 33, kBf16}, {3, 1, 80, 16, 0, kBf16},
    {6, 1, 96, 64, 0, kF32},    {8, 1, 32, 1, 0, kInt8},
    {40, 2, 16, 16, 0, kBf16},  // a group larger than the rows of a task
};

std::vector<Variant<AttentionFn>> SupportedVariants() {
  std::vector<Variant<AttentionFn>> variants;
  for (const Variant<AttentionFn>& variant : AttentionVariants()) {
    if (variant.is_supported(GetCpuInfo().features)) variants.push_back(variant);
  }
  return variants;
}

// bf16 units round q and the weights to 8 bits.
double OperandEps(const Variant<AttentionFn>& variant, const Shape& shape) {
  const bool pairs = variant.name.find("bf16") != absl::string_view::npos;
  return pairs && shape.format != KvCacheFormat::kF32 ? 0x1p-9 * 1.01 : 0;
}

TEST(AttentionTest, EveryVariantMatchesTheDefinition) {
  for (const Shape& shape : kShapes) {
    // Whole prefill, chunk behind a context, decode, nothing to do, more than a tile.
    Batch b = MakeBatch(shape, {5, 9, 1, 0, 70, 1}, {5, 150, 64, 3, 70, 1});
    for (const Variant<AttentionFn>& variant : SupportedVariants()) {
      for (const int threads : {1, 3}) {
        KernelContext ctx(threads);
        std::vector<float> out(b.q.size(), NAN);
        AttentionWith(variant, b.args(out.data()), ctx);
        ExpectCorrect(b, out, std::string(variant.name), OperandEps(variant, shape));
      }
    }
  }
}

TEST(AttentionTest, LongContextsInChunksMatchTheDefinition) {
  for (const Shape& shape : {Shape{4, 2, 64, 16, 0, kBf16}, Shape{2, 1, 64, 16, 0, kInt8},
                             Shape{2, 1, 32, 8, 600, kF32}}) {
    Batch b = MakeBatch(shape, {1, 3}, {2100, 1300});
    for (const Variant<AttentionFn>& variant : SupportedVariants()) {
      for (const AttentionSplit split : {AttentionSplit::kNever, AttentionSplit::kAlways}) {
        KernelContext ctx(3);
        std::vector<float> out(b.q.size(), NAN);
        AttentionWith(variant, b.args(out.data()), ctx, split);
        ExpectCorrect(b, out, std::string(variant.name), OperandEps(variant, shape));
      }
    }
  }
}

// Computes all of `whole`'s only sequence in chunks of `chunk` query rows.
std::vector<float> InChunks(Batch& whole, const Variant<AttentionFn>& variant, int32_t chunk,
                            int threads, AttentionSplit split) {
  const int32_t length = whole.context_len[0];
  const int64_t row = whole.shape.num_heads * whole.shape.head_dim;
  KernelContext ctx(threads);
  std::vector<float> out(whole.q.size(), NAN);
  for (int32_t begin = 0; begin < length; begin += chunk) {
    const int32_t end = std::min(length, begin + chunk);
    const int32_t seq_start[] = {0, end - begin};
    AttentionArgs args = whole.args(out.data() + begin * row);
    args.q = whole.q.data() + begin * row;
    args.seq_start = seq_start;
    args.context_len = &end;
    AttentionWith(variant, args, ctx, split);
  }
  return out;
}

void ExpectSameBits(const std::vector<float>& a, const std::vector<float>& b,
                    const std::string& what) {
  ASSERT_EQ(a.size(), b.size());
  ASSERT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << what;
}

TEST(AttentionTest, QueryIsBitIdenticalInAnyChunkAndAsADecodeStep) {
  for (const Shape& shape : kShapes) {
    Batch whole = MakeBatch(shape, {150}, {150});
    for (const Variant<AttentionFn>& variant : SupportedVariants()) {
      const std::vector<float> expected = InChunks(whole, variant, 150, 2, AttentionSplit::kByLoad);
      for (const int32_t chunk : {1, 2, 13, 64, 149}) {
        ExpectSameBits(InChunks(whole, variant, chunk, 1, AttentionSplit::kByLoad), expected,
                       absl::StrCat(variant.name, " chunk ", chunk));
      }
    }
  }
}

TEST(AttentionTest, LongContextIsBitIdenticalHoweverItIsCut) {
  for (const Shape& shape : {Shape{4, 2, 64, 16, 0, kBf16}, Shape{4, 2, 64, 16, 700, kInt8},
                             Shape{2, 2, 32, 16, 0, kF32}}) {
    Batch whole = MakeBatch(shape, {1200}, {1200});
    for (const Variant<AttentionFn>& variant : SupportedVariants()) {
      if (variant.isa == CpuIsa::kReference && variant.name == "reference") continue;  // slow
      const std::vector<float> expected = InChunks(whole, variant, 1200, 1, AttentionSplit::kNever);
      for (const int threads : {1, 2, 5}) {
        for (const int32_t chunk : {257, 1200}) {
          ExpectSameBits(InChunks(whole, variant, chunk, threads, AttentionSplit::kAlways),
                         expected, absl::StrCat(variant.name, " chunk ", chunk));
        }
      }
      // The last rows as decode steps.
      const int64_t row = shape.num_heads * shape.head_dim;
      for (const int32_t length : {1024, 1025, 1200}) {
        const int32_t seq_start[] = {0, 1};
        for (const int threads : {1, 9}) {
          KernelContext ctx(threads);
          std::vector<float> out(row, NAN);
          AttentionArgs args = whole.args(out.data());
          args.q = whole.q.data() + (length - 1) * row;
          args.seq_start = seq_start;
          args.context_len = &length;
          AttentionWith(variant, args, ctx);
          ASSERT_EQ(std::memcmp(out.data(), &expected[(length - 1) * row], row * sizeof(float)), 0)
              << variant.name << " length " << length;
        }
      }
    }
  }
}

// Variants that multiply in float32 lose nothing by a bf16 cache but what its writing rounds,
// though some read it in place and widen another.
TEST(AttentionTest, FloatVariantsGiveABf16CacheTheBitsOfItsValuesInFloat32) {
  for (const int64_t num_heads : {2, 6, 14}) {
    const Shape shape{num_heads, 2, 64, 16, 0, kBf16};
    Batch pairs = MakeBatch(shape, {1, 9, 40}, {70, 9, 133});
    Batch floats = MakeBatch({num_heads, 2, 64, 16, 0, kF32}, {1, 9, 40}, {70, 9, 133});
    for (float& x : floats.keys) x = ToFloat(ToBFloat16(x));
    for (float& x : floats.values) x = ToFloat(ToBFloat16(x));
    WriteCache(floats);
    for (const Variant<AttentionFn>& variant : AttentionVariants()) {
      if (variant.name != "avx2" && variant.name != "avx512") continue;
      if (!variant.is_supported(GetCpuInfo().features)) continue;
      KernelContext ctx(2);
      std::vector<float> out(pairs.num_tokens() * num_heads * 64), expected(out.size());
      AttentionWith(variant, pairs.args(out.data()), ctx);
      AttentionWith(variant, floats.args(expected.data()), ctx);
      EXPECT_EQ(std::memcmp(out.data(), expected.data(), out.size() * sizeof(float)), 0)
          << variant.name << ", " << num_heads << " heads";
    }
  }
}

TEST(AttentionTest, SequenceIsBitIdenticalAloneAndInABatch) {
  for (const Shape& shape : kShapes) {
    Batch batch = MakeBatch(shape, {1, 30, 1, 7}, {90, 30, 17, 600});
    for (const Variant<AttentionFn>& variant : SupportedVariants()) {
      std::vector<float> together(batch.q.size(), NAN), alone(batch.q.size(), NAN);
      for (const int threads : {1, 4}) {
        KernelContext ctx(threads);
        AttentionWith(variant, batch.args(together.data()), ctx);
        const int64_t row = shape.num_heads * shape.head_dim;
        for (size_t s = 0; s < batch.query_len.size(); ++s) {
          const int32_t seq_start[] = {0, batch.query_len[s]};
          AttentionArgs args = batch.args(alone.data() + batch.seq_start[s] * row);
          args.q = batch.q.data() + batch.seq_start[s] * row;
          args.block_table += s * batch.blocks_per_sequence;
          args.seq_start = seq_start;
          args.context_len = &batch.context_len[s];
          args.num_sequences = 1;
          AttentionWith(variant, args, ctx);
        }
        ExpectSameBits(alone, together, std::string(variant.name));
      }
    }
  }
}

// What int8 costs against the same attention on unrounded keys and values: a score is off by at
// most sum |q| times half a step of its key, a value by half a step, and a weight by twice its
// score.
TEST(AttentionTest, Int8StaysWithinItsBoundOfFloat32) {
  constexpr int64_t kDim = 64;
  Batch exact = MakeBatch({2, 1, kDim, 16, 0, kF32}, {1, 4}, {300, 77});
  Batch coarse = MakeBatch({2, 1, kDim, 16, 0, kInt8}, {1, 4}, {300, 77});
  float key_max = 0, value_max = 0;
  for (const float x : exact.keys) key_max = std::max(key_max, std::abs(x));
  for (const float x : exact.values) value_max = std::max(value_max, std::abs(x));
  KernelContext ctx(1);
  std::vector<float> expected(exact.q.size());
  AttentionWith(AttentionVariants().front(), exact.args(expected.data()), ctx);
  for (const Variant<AttentionFn>& variant : SupportedVariants()) {
    std::vector<float> out(exact.q.size(), NAN);
    AttentionWith(variant, coarse.args(out.data()), ctx);
    for (size_t head = 0; head < out.size() / kDim; ++head) {
      double q_sum = 0;
      for (int64_t i = 0; i < kDim; ++i) q_sum += std::abs(exact.q[head * kDim + i]);
      const double eps = OperandEps(variant, coarse.shape) + 1e-5;
      const double score_error = q_sum * key_max * (1.0 / 254 + eps) / std::sqrt(double(kDim));
      const double bound = value_max / 254 + value_max * (std::expm1(2 * score_error) + 2 * eps);
      double square_error = 0, square = 0;
      for (int64_t i = 0; i < kDim; ++i) {
        const double error = out[head * kDim + i] - expected[head * kDim + i];
        ASSERT_LE(std::abs(error), bound) << variant.name;
        square_error += error * error;
        square += double{expected[head * kDim + i]} * expected[head * kDim + i];
      }
      // The bound is for the worst case; rounding errors are independent and average out.
      EXPECT_LT(std::sqrt(square_error / square), 0.02) << variant.name;
    }
  }
}

TEST(AttentionTest, HugeScoresPickTheBestKey) {
  Batch b = MakeBatch({1, 1, 16, 16, 0, kF32}, {1}, {100});
  for (float& x : b.q) x *= 1e4f;
  for (const Variant<AttentionFn>& variant : SupportedVariants()) {
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

TEST(WriteKvTest, VariantsWriteTheSameBits) {
  constexpr int64_t kTokens = 9, kHeads = 2;
  for (const int64_t block_tokens : {1, 4, 16}) {
    for (const int64_t head_dim : {6, 64, 128}) {
      std::vector<float> in(2 * kTokens * kHeads * head_dim);
      std::mt19937 random(7);
      std::normal_distribution<float> normal;
      for (float& x : in) x = normal(random);
      std::fill_n(in.begin(), head_dim, 0.0f);  // a row of zeros
      in[3 * kHeads * head_dim] = 1e-30f, in[5 * kHeads * head_dim] = 3e38f;
      // Pairs of neighbours, a lone second half, a gap, and two blocks.
      const std::vector<int64_t> slots = {0, 1, 2, 3, 5, -1, 16, 17, 18};
      for (const KvCacheFormat format :
           {KvCacheFormat::kBf16, KvCacheFormat::kF32, KvCacheFormat::kInt8}) {
        const int64_t plane = kHeads * KvHeadBytes(format, block_tokens, head_dim);
        std::vector<std::byte> expected;
        for (const Variant<WriteKvFn>& variant : WriteKvVariants()) {
          if (!variant.is_supported(GetCpuInfo().features)) continue;
          std::vector<std::byte> cache(2 * plane * 20, std::byte{0x5a});
          const WriteKvArgs args{.k = in.data(),
                                 .v = in.data() + kTokens * kHeads * head_dim,
                                 .token_stride = kHeads * head_dim,
                                 .slot = slots.data(),
                                 .num_tokens = kTokens,
                                 .cache = {cache.data(), cache.data() + plane, format, 2 * plane,
                                           block_tokens, kHeads, head_dim}};
          variant.fn(args, 0, 3);
          variant.fn(args, 3, kTokens);
          if (expected.empty()) expected = cache;
          EXPECT_EQ(cache, expected) << variant.name << ", blocks of " << block_tokens;
        }
      }
    }
  }
}

TEST(WriteKvTest, SkipsNegativeSlotsAndRounds) {
  constexpr int64_t kDim = 4;
  std::vector<BFloat16> k(4 * kDim, BFloat16{0x1234}), v = k;
  const std::vector<float> in = RandomFloats(2 * kDim, 9);
  const int64_t slot[] = {-1, 3};  // the second token of the second block
  KernelContext ctx(1);
  const KvCacheView cache{k.data(), v.data(), kBf16, 2 * kDim * 2, 2, 1, kDim};
  WriteKv({.k = in.data(),
           .v = in.data(),
           .token_stride = kDim,
           .slot = slot,
           .num_tokens = 2,
           .cache = cache},
          ctx);
  for (int64_t i = 0; i < 2 * kDim; ++i) EXPECT_EQ(k[i].bits, 0x1234);
  for (int64_t i = 0; i < kDim; ++i) {
    const uint16_t expected = ToBFloat16(in[kDim + i]).bits;
    EXPECT_EQ(k[2 * kDim + KvKeyIndex(cache, 1, i)].bits, expected);
    EXPECT_EQ(v[2 * kDim + KvValueIndex(cache, 1, i)].bits, expected);
    EXPECT_EQ(k[2 * kDim + KvKeyIndex(cache, 0, i)].bits, 0x1234);
    EXPECT_EQ(v[2 * kDim + KvValueIndex(cache, 0, i)].bits, 0x1234);
  }
}

TEST(WriteKvTest, IndicesOfABlockAreAPermutation) {
  for (const int64_t block_tokens : {1, 2, 5, 7, 8, 12, 16, 24, 48}) {
    const KvCacheView c{.block_tokens = block_tokens, .head_dim = 6};
    std::vector<int> keys(block_tokens * 6), values(block_tokens * 6);
    for (int64_t t = 0; t < block_tokens; ++t) {
      for (int64_t i = 0; i < 6; ++i) {
        ++keys.at(KvKeyIndex(c, t, i));
        ++values.at(KvValueIndex(c, t, i));
      }
    }
    EXPECT_EQ(keys, std::vector<int>(keys.size(), 1)) << block_tokens;
    EXPECT_EQ(values, std::vector<int>(values.size(), 1)) << block_tokens;
  }
}

TEST(WriteKvTest, Int8IsOffByAtMostHalfAStep) {
  constexpr int64_t kDim = 64, kHeads = 3, kTokens = 16;
  std::vector<float> in = RandomFloats(kTokens * kHeads * kDim, 9);
  for (int64_t i = 0; i < kDim; ++i) in[i] = 0;                  // a row of zeros
  for (int64_t i = kDim; i < 2 * kDim; ++i) in[i] *= 1e-30f;     // small
  for (int64_t i = 2 * kDim; i < 3 * kDim; ++i) in[i] *= 1e30f;  // large
  in[5 * kDim + 3] = INFINITY;
  in[7 * kDim + 9] = NAN;
  std::vector<int64_t> slot(kTokens);
  for (int64_t t = 0; t < kTokens; ++t) slot[t] = t;
  std::vector<std::byte> k(kHeads * KvHeadBytes(kInt8, kTokens, kDim)), v = k;
  const KvCacheView c{k.data(), v.data(), kInt8, static_cast<int64_t>(k.size()),
                      kTokens,  kHeads,   kDim};
  KernelContext ctx(1);
  WriteKv({.k = in.data(),
           .v = in.data(),
           .token_stride = kHeads * kDim,
           .slot = slot.data(),
           .num_tokens = kTokens,
           .cache = c},
          ctx);
  for (int64_t row = 0; row < kTokens * kHeads; ++row) {
    const int64_t t = row / kHeads, head = row % kHeads;
    float scale;
    std::memcpy(&scale, &k[KvScaleOffset(c, 0, head) + t * 4], 4);
    float magnitude = 0;
    for (int64_t i = 0; i < kDim; ++i) {
      magnitude = std::max(magnitude, std::abs(in[row * kDim + i]));
    }
    for (int64_t i = 0; i < kDim; ++i) {
      const double x = in[row * kDim + i];
      const double stored =
          double{scale} * static_cast<int8_t>(k[KvHeadOffset(c, 0, head) + KvKeyIndex(c, t, i)]);
      const double stored_v =
          double{scale} * static_cast<int8_t>(v[KvHeadOffset(c, 0, head) + KvValueIndex(c, t, i)]);
      if (row == 5 || row == 7) {
        EXPECT_TRUE(std::isnan(stored)) << row;
        continue;
      }
      // Half a step, and the roundings of the scale, of its inverse and of the product.
      EXPECT_NEAR(stored, x, magnitude / 254.0 + 4 * kFloatEps * magnitude) << row;
      EXPECT_EQ(stored, stored_v) << row;
    }
  }
}

}  // namespace
}  // namespace oneai::kernels
