#include "models/lora/cpu_adapters.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "models/runtime/cpu_model.h"
#include "tests/models/runtime/tiny_model.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int64_t kBlockTokens = 4;

std::filesystem::path Folder(const char* adapter = "") {
  return oneai::testing::DataDir() / "golden" / "qwen2_lora" / adapter;
}

class CpuAdaptersTest : public ::testing::TestWithParam<ComputeDtype> {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(model_, CpuModel::Load(Folder(), {.dtype = GetParam(), .num_threads = 2}));
    ASSERT_OK_AND_ASSIGN(a_, model_->adapters().Load(Folder("adapter_a")));
    ASSERT_OK_AND_ASSIGN(b_, model_->adapters().Load(Folder("adapter_b")));
    ASSERT_OK_AND_ASSIGN(PagedKvCache cache,
                         PagedKvCache::Create(model_->config(), 40, kBlockTokens, GetParam()));
    cache_.emplace(std::move(cache));
  }

  // Logits of all positions of the chunks.
  std::vector<float> Run(const std::vector<SequenceChunk>& chunks) {
    std::vector<float> logits;
    EXPECT_THAT(model_->Forward(chunks, *cache_, logits), oneai::testing::IsOk());
    return logits;
  }
  static SequenceChunk Chunk(const std::vector<int32_t>& tokens, const std::vector<int32_t>& table,
                             int32_t adapter) {
    return {.tokens = tokens, .block_table = table, .num_logit_rows = kAllRows, .adapter = adapter};
  }

  std::unique_ptr<CpuModel> model_;
  std::optional<PagedKvCache> cache_;
  int32_t a_ = kNoAdapter, b_ = kNoAdapter;
};

TEST_P(CpuAdaptersTest, ARequestHasTheSameBitsAloneAndMixed) {
  const std::vector<int32_t> x = {5, 9, 77, 3, 8}, y = {11, 2, 6}, z = {100, 4, 4, 31};
  const std::vector<std::vector<int32_t>> tables = {{0, 1}, {2}, {3}, {4, 5}, {6}};
  const std::vector<SequenceChunk> chunks = {
      Chunk(x, tables[0], a_), Chunk(y, tables[1], kNoAdapter), Chunk(z, tables[2], b_),
      Chunk(x, tables[3], a_), Chunk(y, tables[4], b_)};
  std::vector<float> apart;
  for (const SequenceChunk& chunk : chunks) {
    const std::vector<float> logits = Run({chunk});
    apart.insert(apart.end(), logits.begin(), logits.end());
  }
  EXPECT_EQ(Run(chunks), apart);
}

TEST_P(CpuAdaptersTest, AdaptersChangeTheResultAndTheBaseStays) {
  const std::vector<int32_t> tokens = {5, 9, 77}, table = {0};
  const std::vector<float> base = Run({Chunk(tokens, table, kNoAdapter)}),
                           with_a = Run({Chunk(tokens, table, a_)}),
                           with_b = Run({Chunk(tokens, table, b_)});
  EXPECT_NE(base, with_a);
  EXPECT_NE(with_a, with_b);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<CpuModel> plain,
                       CpuModel::Load(Folder(), {.dtype = GetParam(), .num_threads = 1}));
  std::vector<float> logits;
  const SequenceChunk chunk = Chunk(tokens, table, kNoAdapter);
  ASSERT_OK(plain->Forward({&chunk, 1}, *cache_, logits));
  EXPECT_EQ(logits, base);
}

TEST_P(CpuAdaptersTest, HiddenStatesMixWithLogits) {
  const std::vector<int32_t> tokens = {5, 9, 77}, first = {0}, second = {1};
  std::vector<SequenceChunk> chunks = {Chunk(tokens, first, a_), Chunk(tokens, second, a_)};
  chunks[1].num_logit_rows = 0;
  chunks[1].num_hidden_rows = 1;
  StepOutput output;
  ASSERT_OK(model_->Step(chunks, *cache_, output));
  EXPECT_EQ(output.logits, Run({chunks[0]}));
  std::vector<float> hidden;
  chunks[1].num_logit_rows = 1;
  ASSERT_OK(model_->ForwardHidden({&chunks[1], 1}, *cache_, hidden));
  EXPECT_EQ(output.hidden, hidden);
}

TEST_P(CpuAdaptersTest, NamesTheChunkOfAnUnknownAdapter) {
  const std::vector<int32_t> tokens = {5}, first = {0}, second = {1};
  const std::vector<SequenceChunk> chunks = {Chunk(tokens, first, a_), Chunk(tokens, second, 99)};
  std::vector<float> logits;
  EXPECT_THAT(model_->Forward(chunks, *cache_, logits),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("chunk 1")));
  ASSERT_OK(model_->adapters().Unload(a_));
  EXPECT_THAT(model_->Forward({&chunks[0], 1}, *cache_, logits),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("chunk 0")));
  EXPECT_THAT(model_->adapters().Unload(a_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no adapter")));
}

TEST_P(CpuAdaptersTest, AdaptersComeAndGoWhileStepsRun) {
  const std::vector<int32_t> tokens = {5, 9, 77}, table = {0};
  const std::vector<float> expected = Run({Chunk(tokens, table, b_)});
  absl::Status status;
  std::thread loader([&] {
    for (int i = 0; i < 30 && status.ok(); ++i) {
      absl::StatusOr<int32_t> id = model_->adapters().Load(Folder("adapter_c"));
      status = id.ok() ? model_->adapters().Unload(*id) : id.status();
    }
  });
  for (int i = 0; i < 30; ++i) EXPECT_EQ(Run({Chunk(tokens, table, b_)}), expected);
  loader.join();
  EXPECT_OK(status);
}

TEST_P(CpuAdaptersTest, CountsBytesAndGivesThemBack) {
  const int64_t both = model_->adapters().bytes();
  ASSERT_OK(model_->adapters().Unload(a_));
  EXPECT_LT(model_->adapters().bytes(), both);
  ASSERT_OK(model_->adapters().Unload(b_));
  EXPECT_EQ(model_->adapters().bytes(), 0);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<CpuModel> narrow,
                       CpuModel::Load(Folder(), {.num_threads = 1, .adapter_bytes_max = 1000}));
  EXPECT_THAT(narrow->adapters().Load(Folder("adapter_a")),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("1000")));
}

// Writes an adapter on queries, experts, the shared expert and the router of `config`'s model.
void WriteSparseAdapter(const ModelConfig& config, const std::filesystem::path& folder) {
  constexpr int64_t kRank = 3;
  std::vector<TensorSpec> specs;
  for (const qwen::WeightSpec& weight : qwen::WeightTable(config)) {
    std::string module = weight.name.substr(0, weight.name.rfind(".weight"));
    const std::string last = module.substr(module.rfind('.') + 1);
    if (weight.shape.size() != 2 || (last != "q_proj" && last != "down_proj" && last != "gate"))
      continue;
    module = "base_model.model." + module;
    specs.push_back({module + ".lora_A.weight", DType::kF32, {kRank, weight.shape[1]}});
    specs.push_back({module + ".lora_B.weight", DType::kF32, {weight.shape[0], kRank}});
  }
  oneai::testing::WriteTensors(folder, specs);
  std::filesystem::rename(folder / "model.safetensors", folder / "adapter_model.safetensors");
  std::ofstream(folder / "adapter_config.json")
      << R"({"peft_type": "LORA", "r": 3, "lora_alpha": 1.5,
             "target_modules": ["q_proj", "down_proj", "gate"]})";
}

TEST(CpuAdaptersOfExpertsTest, TokensOfAnExpertMayHaveDifferentAdapters) {
  const ModelConfig config = oneai::testing::TinyMoe();
  const std::filesystem::path base_folder = oneai::testing::FreshFolder("base"),
                              adapter_folder = oneai::testing::FreshFolder("adapter");
  oneai::testing::WriteTensors(base_folder, oneai::testing::SpecsOf(config));
  WriteSparseAdapter(config, adapter_folder);
  ASSERT_OK_AND_ASSIGN(const Checkpoint base, Checkpoint::Open(base_folder));
  ASSERT_OK_AND_ASSIGN(const LoraAdapter adapter, LoraAdapter::Load(adapter_folder, config));
  ASSERT_OK_AND_ASSIGN(const Checkpoint merged, MergeAdapter(config, base, adapter));
  const CpuModelOptions options = {.dtype = ComputeDtype::kF32, .num_threads = 1};
  ASSERT_OK_AND_ASSIGN(const auto model, CpuModel::Create(config, base, options));
  ASSERT_OK_AND_ASSIGN(const auto expected_model, CpuModel::Create(config, merged, options));
  ASSERT_OK_AND_ASSIGN(const int32_t id, model->adapters().Load(adapter));
  ASSERT_OK_AND_ASSIGN(PagedKvCache cache,
                       PagedKvCache::Create(config, 9, kBlockTokens, ComputeDtype::kF32));
  const std::vector<int32_t> tokens = {5, 9, 77, 3, 8, 60, 31, 2, 14}, first = {0, 1, 2},
                             second = {3, 4, 5}, third = {6, 7, 8};
  const std::vector<SequenceChunk> chunks = {{tokens, 0, first, kAllRows},
                                             {tokens, 0, second, kAllRows, 0, id},
                                             {tokens, 0, third, kAllRows}};
  std::vector<float> mixed, alone, expected;
  ASSERT_OK(model->Forward(chunks, cache, mixed));
  ASSERT_OK(model->Forward({&chunks[1], 1}, cache, alone));
  ASSERT_OK(expected_model->Forward({&chunks[0], 1}, cache, expected));
  const size_t size = alone.size();
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), mixed.begin() + size));
  EXPECT_TRUE(std::equal(mixed.begin(), mixed.begin() + size, mixed.begin() + 2 * size));
  double worst = 0, change = 0;
  for (size_t i = 0; i < size; ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(alone[i]) - expected[i]));
    change = std::max(change, std::abs(static_cast<double>(alone[i]) - mixed[i]));
  }
  EXPECT_LT(worst, 1e-3 * change);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, CpuAdaptersTest,
                         ::testing::Values(ComputeDtype::kBf16, ComputeDtype::kF32));

}  // namespace
}  // namespace oneai::models
