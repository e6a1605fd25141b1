// What families beyond the dense Qwen2 and Qwen3 add to the serving model, and weights kept as
// integers: a row's bits never depend on the batch.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "models/runtime/cpu_model.h"
#include "tests/models/runtime/allocation_counter.h"
#include "tests/models/runtime/tiny_model.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::FreshFolder;
using ::oneai::testing::SpecsOf;
using ::oneai::testing::StatusIs;
using ::oneai::testing::TinyLlama;
using ::oneai::testing::TinyMoe;
using ::oneai::testing::TinyQwen1;
using ::oneai::testing::TinyQwen3;
using ::oneai::testing::WriteTensors;
using ::testing::HasSubstr;

constexpr int64_t kBlockTokens = 4, kLength = 37, kBlocks = 60;

struct Subject {
  const char* name;
  ModelConfig (*config)();
  CpuModelOptions options;
};

std::unique_ptr<CpuModel> MakeModel(const Subject& subject, int num_threads) {
  const ModelConfig config = subject.config();
  const std::filesystem::path folder = FreshFolder("model");
  WriteTensors(folder, SpecsOf(config));
  CpuModelOptions options = subject.options;
  options.num_threads = num_threads;
  absl::StatusOr<Checkpoint> checkpoint = Checkpoint::Open(folder);
  EXPECT_THAT(checkpoint, oneai::testing::IsOk());
  auto model = CpuModel::Create(config, *std::move(checkpoint), options);
  EXPECT_THAT(model, oneai::testing::IsOk());
  return *std::move(model);
}

std::vector<int32_t> SomeTokens(int64_t count, int32_t seed, int64_t vocab_size) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<int32_t>((seed * 31 + i * i * 7) % vocab_size));
  return tokens;
}

std::vector<int32_t> EverySecondBlock(int32_t first) {
  std::vector<int32_t> table;
  for (int32_t i = 0; 2 * i + first < kBlocks; ++i) table.push_back(2 * i + first);
  return table;
}

// Logits of every position, prefilled in pieces, each beside another sequence.
std::vector<float> LogitsInPieces(CpuModel& model, const Subject& subject,
                                  const std::vector<int64_t>& pieces) {
  absl::StatusOr<PagedKvCache> cache =
      PagedKvCache::Create(model.config(), kBlocks, kBlockTokens, subject.options.dtype);
  EXPECT_THAT(cache, oneai::testing::IsOk());
  const std::vector<int32_t> tokens = SomeTokens(kLength, 1, model.config().vocab_size),
                             table = EverySecondBlock(0), other_table = EverySecondBlock(1);
  std::vector<float> all, logits;
  int64_t begin = 0;
  for (const int64_t piece : pieces) {
    const std::vector<int32_t> other = SomeTokens(2 * piece + 1, 5, model.config().vocab_size);
    std::vector<SequenceChunk> chunks = {
        {other, 0, other_table, 1},
        {absl::MakeConstSpan(tokens).subspan(begin, piece), begin, table, kAllRows}};
    chunks[1].prompt_tokens = kLength;
    EXPECT_THAT(model.Forward(chunks, *cache, logits), oneai::testing::IsOk());
    all.insert(all.end(), logits.begin() + model.output_dim(), logits.end());
    begin += piece;
  }
  return all;
}

class CpuFamilyTest : public ::testing::TestWithParam<Subject> {};

TEST_P(CpuFamilyTest, ResultsDoNotDependOnTheBatch) {
  const std::unique_ptr<CpuModel> model = MakeModel(GetParam(), 1);
  const std::vector<float> expected = LogitsInPieces(*model, GetParam(), {kLength});
  ASSERT_EQ(expected.size(), static_cast<size_t>(kLength * model->output_dim()));
  EXPECT_EQ(LogitsInPieces(*model, GetParam(), {1, 5, 16, 15}), expected) << "in chunks";
  EXPECT_EQ(LogitsInPieces(*model, GetParam(), std::vector<int64_t>(kLength, 1)), expected)
      << "token by token";
  const std::unique_ptr<CpuModel> threaded = MakeModel(GetParam(), 3);
  EXPECT_EQ(LogitsInPieces(*threaded, GetParam(), {20, 17}), expected) << "with three threads";
}

TEST_P(CpuFamilyTest, ASteadyWorkloadDoesNotAllocate) {
  const std::unique_ptr<CpuModel> model = MakeModel(GetParam(), 2);
  ASSERT_OK_AND_ASSIGN(
      PagedKvCache cache,
      PagedKvCache::Create(model->config(), kBlocks, kBlockTokens, GetParam().options.dtype));
  const std::vector<int32_t> prompt = SomeTokens(9, 1, model->config().vocab_size), next = {7};
  const std::vector<int32_t> first = EverySecondBlock(0), second = EverySecondBlock(1);
  std::vector<SequenceChunk> mixed = {{prompt, 0, first}, {next, 12, second}};
  std::vector<SequenceChunk> decode = {{next, 9, first}, {next, 13, second}};
  decode[1].num_hidden_rows = 1;
  StepOutput output;
  auto run_both = [&] {
    return model->Step(mixed, cache, output).ok() && model->Step(decode, cache, output).ok();
  };
  ASSERT_TRUE(run_both());
  const int64_t before = oneai::testing::NumAllocations();
  bool ok = true;
  for (int i = 0; i < 10; ++i) ok = ok && run_both();
  EXPECT_EQ(oneai::testing::NumAllocations(), before);
  EXPECT_TRUE(ok);
  EXPECT_EQ(output.hidden.size(), static_cast<size_t>(model->config().hidden_size));
}

const CpuModelOptions kFloat = {.dtype = ComputeDtype::kF32};
INSTANTIATE_TEST_SUITE_P(
    Families, CpuFamilyTest,
    ::testing::Values(Subject{"moe_f32", TinyMoe, kFloat}, Subject{"moe_bf16", TinyMoe, {}},
                      Subject{"moe_int8", TinyMoe, {.weights = kernels::WeightFormat::kInt8}},
                      Subject{"qwen1_f32", TinyQwen1, kFloat}, Subject{"qwen1_bf16", TinyQwen1, {}},
                      Subject{"llama_bf16", TinyLlama, {}},
                      Subject{"qwen3_int8", TinyQwen3, {.weights = kernels::WeightFormat::kInt8}},
                      Subject{"qwen3_int4", TinyQwen3, {.weights = kernels::WeightFormat::kInt4}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(CpuModelFormatTest, FewerBitsStayNearTheExactResult) {
  const std::vector<float> exact =
      LogitsInPieces(*MakeModel({"", TinyQwen3, kFloat}, 1), {"", TinyQwen3, kFloat}, {kLength});
  double norm = 0;
  for (const float x : exact) norm += x * x;
  // Relative root-mean-square errors of random weights; far apart enough to tell formats apart.
  const struct {
    CpuModelOptions options;
    double error_max;
  } kCases[] = {{{}, 0.02},
                {{.weights = kernels::WeightFormat::kInt8}, 0.06},
                {{.weights = kernels::WeightFormat::kInt4}, 0.4}};
  for (const auto& test : kCases) {
    const Subject subject = {"", TinyQwen3, test.options};
    const std::vector<float> ours = LogitsInPieces(*MakeModel(subject, 1), subject, {kLength});
    double error = 0;
    for (size_t i = 0; i < exact.size(); ++i) error += (ours[i] - exact[i]) * (ours[i] - exact[i]);
    EXPECT_LT(std::sqrt(error / norm), test.error_max);
  }
}

TEST(CpuModelFormatTest, Float32ArithmeticRefusesIntegerWeights) {
  const std::filesystem::path folder = FreshFolder("model");
  WriteTensors(folder, SpecsOf(TinyQwen3()));
  ASSERT_OK_AND_ASSIGN(Checkpoint checkpoint, Checkpoint::Open(folder));
  EXPECT_THAT(
      CpuModel::Create(TinyQwen3(), checkpoint,
                       {.dtype = ComputeDtype::kF32, .weights = kernels::WeightFormat::kInt8}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("int8")));
}

TEST(CpuModelPromptTest, ThePromptsLengthSetsTheAngles) {
  const Subject subject = {"", TinyQwen1, kFloat};
  const std::unique_ptr<CpuModel> model = MakeModel(subject, 1);
  ASSERT_OK_AND_ASSIGN(PagedKvCache cache, PagedKvCache::Create(model->config(), kBlocks,
                                                                kBlockTokens, ComputeDtype::kF32));
  const std::vector<int32_t> tokens = SomeTokens(8, 1, model->config().vocab_size),
                             table = EverySecondBlock(0);
  SequenceChunk chunk{tokens, 0, table, 1};
  std::vector<float> short_prompt, long_prompt, as_long;
  ASSERT_OK(model->Forward({&chunk, 1}, cache, short_prompt));
  chunk.prompt_tokens = 17;  // alpha 3
  ASSERT_OK(model->Forward({&chunk, 1}, cache, long_prompt));
  chunk.prompt_tokens = 32;  // alpha 3, too
  ASSERT_OK(model->Forward({&chunk, 1}, cache, as_long));
  EXPECT_NE(long_prompt, short_prompt);
  EXPECT_EQ(as_long, long_prompt);
}

}  // namespace
}  // namespace oneai::models
