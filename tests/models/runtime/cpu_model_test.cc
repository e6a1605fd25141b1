#include "models/runtime/cpu_model.h"

#include <algorithm>
#include <tuple>

#include "gtest/gtest.h"
#include "tests/models/runtime/allocation_counter.h"
#include "tests/models/runtime/tiny_model.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::FreshFolder;
using ::oneai::testing::SpecsOf;
using ::oneai::testing::StatusIs;
using ::oneai::testing::TinyQwen2;
using ::oneai::testing::TinyQwen3;
using ::oneai::testing::WriteTensors;
using ::testing::HasSubstr;

constexpr int64_t kBlockTokens = 4;

std::unique_ptr<CpuModel> MakeModel(const ModelConfig& config, const CpuModelOptions& options) {
  const std::filesystem::path folder = FreshFolder("model");
  WriteTensors(folder, SpecsOf(config));
  absl::StatusOr<Checkpoint> checkpoint = Checkpoint::Open(folder);
  EXPECT_THAT(checkpoint, oneai::testing::IsOk());
  absl::StatusOr<std::unique_ptr<CpuModel>> model =
      CpuModel::Create(config, *std::move(checkpoint), options);
  EXPECT_THAT(model, oneai::testing::IsOk());
  return *std::move(model);
}

std::vector<int32_t> SomeTokens(int64_t count, int32_t seed, const ModelConfig& config) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back((seed * 31 + static_cast<int32_t>(i * i) * 7) % config.vocab_size);
  return tokens;
}

// Every third block, so that sequences with different `offset` interleave.
std::vector<int32_t> EveryThirdBlock(int32_t offset, int64_t num_tokens) {
  std::vector<int32_t> table;
  for (int64_t i = 0; i * kBlockTokens < num_tokens; ++i)
    table.push_back(3 * static_cast<int32_t>(i) + offset);
  return table;
}

class CpuModelStepTest : public ::testing::TestWithParam<std::tuple<ModelFamily, ComputeDtype>> {
 protected:
  ModelConfig config_ = std::get<0>(GetParam()) == ModelFamily::kQwen2 ? TinyQwen2() : TinyQwen3();
  ComputeDtype dtype_ = std::get<1>(GetParam());
};

// Logits of every position of `tokens`, prefilled in pieces of the given sizes, beside two other
// sequences.
std::vector<float> LogitsInPieces(CpuModel& model, ComputeDtype dtype,
                                  const std::vector<int32_t>& tokens,
                                  const std::vector<int64_t>& pieces) {
  absl::StatusOr<PagedKvCache> cache =
      PagedKvCache::Create(model.config(), 60, kBlockTokens, dtype);
  EXPECT_THAT(cache, oneai::testing::IsOk());
  const std::vector<int32_t> table = EveryThirdBlock(1, static_cast<int64_t>(tokens.size()));
  std::vector<float> all;
  int64_t begin = 0;
  for (const int64_t piece : pieces) {
    const std::vector<int32_t> before = SomeTokens(piece % 5 + 1, 3, model.config());
    const std::vector<int32_t> after = SomeTokens(2 * piece, 5, model.config());
    const std::vector<int32_t> table_before = EveryThirdBlock(0, 70),
                               table_after = EveryThirdBlock(2, 80);
    const std::vector<SequenceChunk> chunks = {
        {before, 0, table_before, 0},
        {absl::MakeConstSpan(tokens).subspan(begin, piece), begin, table, kAllRows},
        {after, 0, table_after, 1}};
    std::vector<float> logits;
    EXPECT_THAT(model.Forward(chunks, *cache, logits), oneai::testing::IsOk());
    EXPECT_EQ(logits.size(), static_cast<size_t>((piece + 1) * model.output_dim()));
    all.insert(all.end(), logits.begin(), logits.end() - model.output_dim());
    begin += piece;
  }
  return all;
}

TEST_P(CpuModelStepTest, ResultsDoNotDependOnTheBatch) {
  const std::unique_ptr<CpuModel> model = MakeModel(config_, {.dtype = dtype_, .num_threads = 1});
  const std::unique_ptr<CpuModel> threaded =
      MakeModel(config_, {.dtype = dtype_, .num_threads = 3});
  const std::vector<int32_t> tokens = SomeTokens(37, 1, config_);
  ASSERT_OK_AND_ASSIGN(PagedKvCache cache, PagedKvCache::Create(config_, 40, kBlockTokens, dtype_));
  const std::vector<int32_t> table = EveryThirdBlock(0, 37);
  const SequenceChunk alone{tokens, 0, table, kAllRows};
  std::vector<float> expected;
  ASSERT_OK(model->Forward({&alone, 1}, cache, expected));
  ASSERT_EQ(expected.size(), static_cast<size_t>(37 * config_.vocab_size));

  EXPECT_EQ(LogitsInPieces(*model, dtype_, tokens, {37}), expected) << "in a mixed batch";
  EXPECT_EQ(LogitsInPieces(*model, dtype_, tokens, {1, 5, 16, 15}), expected) << "in chunks";
  EXPECT_EQ(LogitsInPieces(*model, dtype_, tokens, std::vector<int64_t>(37, 1)), expected)
      << "token by token";
  EXPECT_EQ(LogitsInPieces(*threaded, dtype_, tokens, {20, 17}), expected) << "with three threads";
}

INSTANTIATE_TEST_SUITE_P(
    Models, CpuModelStepTest,
    ::testing::Combine(::testing::Values(ModelFamily::kQwen2, ModelFamily::kQwen3),
                       ::testing::Values(ComputeDtype::kBf16, ComputeDtype::kF32)));

TEST(CpuModelTest, RowsFollowTheChunksThatAskForThem) {
  const ModelConfig config = TinyQwen3();
  const std::unique_ptr<CpuModel> model = MakeModel(config, {.dtype = ComputeDtype::kF32});
  ASSERT_OK_AND_ASSIGN(PagedKvCache cache,
                       PagedKvCache::Create(config, 12, kBlockTokens, ComputeDtype::kF32));
  const std::vector<int32_t> tokens = SomeTokens(6, 1, config), first = {0, 1}, second = {2, 3},
                             third = {4, 5};
  const std::vector<SequenceChunk> chunks = {
      {tokens, 0, first, kAllRows}, {tokens, 0, second, 0}, {tokens, 0, third, 1}};
  std::vector<float> logits;
  ASSERT_OK(model->Forward(chunks, cache, logits));
  ASSERT_EQ(logits.size(), static_cast<size_t>(7 * config.vocab_size));
  EXPECT_TRUE(std::equal(logits.end() - config.vocab_size, logits.end(),
                         logits.begin() + 5 * config.vocab_size));
}

TEST(CpuModelTest, AStepWithoutChunksDoesNothing) {
  const std::unique_ptr<CpuModel> model = MakeModel(TinyQwen3(), {});
  ASSERT_OK_AND_ASSIGN(PagedKvCache cache,
                       PagedKvCache::Create(TinyQwen3(), 1, kBlockTokens, ComputeDtype::kBf16));
  std::vector<float> logits = {1.0f};
  ASSERT_OK(model->Forward({}, cache, logits));
  EXPECT_TRUE(logits.empty());
}

TEST(CpuModelTest, ASteadyWorkloadDoesNotAllocate) {
  const ModelConfig config = TinyQwen3();
  const std::unique_ptr<CpuModel> model = MakeModel(config, {.num_threads = 2});
  ASSERT_OK_AND_ASSIGN(PagedKvCache cache,
                       PagedKvCache::Create(config, 40, kBlockTokens, ComputeDtype::kBf16));
  const std::vector<int32_t> prompt = SomeTokens(9, 1, config), next = {7};
  const std::vector<int32_t> first = EveryThirdBlock(0, 40), second = EveryThirdBlock(1, 40);
  const std::vector<SequenceChunk> mixed = {{prompt, 0, first}, {next, 12, second}};
  const std::vector<SequenceChunk> decode = {{next, 9, first}, {next, 13, second}};
  std::vector<float> logits;
  auto run_both = [&] {  // no matchers: they allocate
    return model->Forward(mixed, cache, logits).ok() && model->Forward(decode, cache, logits).ok();
  };
  ASSERT_TRUE(run_both());
  const int64_t before = oneai::testing::NumAllocations();
  bool ok = true;
  for (int i = 0; i < 10; ++i) ok = ok && run_both();
  EXPECT_EQ(oneai::testing::NumAllocations(), before);
  EXPECT_TRUE(ok);
}

TEST(CpuModelTest, RefusesAStepThatCannotRun) {
  const ModelConfig config = TinyQwen3();
  const std::unique_ptr<CpuModel> model = MakeModel(config, {});
  ASSERT_OK_AND_ASSIGN(PagedKvCache cache,
                       PagedKvCache::Create(config, 3, kBlockTokens, ComputeDtype::kBf16));
  const std::vector<int32_t> tokens = {1, 2, 3}, outside = {1, 101}, negative = {-1};
  const std::vector<int32_t> table = {2}, unknown_block = {3};
  const struct {
    SequenceChunk chunk;
    const char* message;
  } kCases[] = {
      {{{}, 0, table}, "has no tokens"},      {{tokens, -1, table}, "negative position"},
      {{tokens, 2, table}, "needs 2 blocks"}, {{tokens, 0, unknown_block}, "names block 3"},
      {{outside, 0, table}, "token id 101"},  {{negative, 0, table}, "token id -1"},
  };
  std::vector<float> logits;
  for (const auto& test : kCases) {
    EXPECT_THAT(model->Forward({&test.chunk, 1}, cache, logits),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(test.message)));
  }
  ASSERT_OK_AND_ASSIGN(PagedKvCache other,
                       PagedKvCache::Create(TinyQwen2(), 3, kBlockTokens, ComputeDtype::kBf16));
  const SequenceChunk good{tokens, 0, table};
  EXPECT_THAT(model->Forward({&good, 1}, other, logits),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("another shape")));
}

TEST(PagedKvCacheTest, BlocksCarryASequence) {
  const ModelConfig config = TinyQwen3();
  const std::unique_ptr<CpuModel> model = MakeModel(config, {});
  ASSERT_OK_AND_ASSIGN(PagedKvCache cache,
                       PagedKvCache::Create(config, 6, kBlockTokens, ComputeDtype::kBf16));
  const std::vector<int32_t> tokens = SomeTokens(9, 1, config), table = {0, 1, 2},
                             moved = {5, 3, 4};
  const SequenceChunk prompt{tokens, 0, table};
  std::vector<float> logits, expected;
  ASSERT_OK(model->Forward({&prompt, 1}, cache, logits));
  for (size_t i = 0; i < table.size(); ++i) {
    std::ranges::copy(cache.Block(table[i]), cache.Block(moved[i]).begin());
  }
  const std::vector<int32_t> next = {17};
  const SequenceChunk from_original{next, 9, table}, from_copy{next, 9, moved};
  ASSERT_OK(model->Forward({&from_original, 1}, cache, expected));
  ASSERT_OK(model->Forward({&from_copy, 1}, cache, logits));
  EXPECT_EQ(logits, expected);
}

TEST(PagedKvCacheTest, RefusesImpossibleSizes) {
  EXPECT_THAT(PagedKvCache::Create(TinyQwen3(), 0, 16, ComputeDtype::kBf16),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 blocks")));
  EXPECT_THAT(PagedKvCache::Create(TinyQwen3(), 1 << 30, int64_t{1} << 40, ComputeDtype::kBf16),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("address space")));
}

}  // namespace
}  // namespace oneai::models
