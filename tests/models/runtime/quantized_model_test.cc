// Quantised files, end to end: what is written by models/quantize, bound with its own codes, gives
// nearly the result of the same weights decoded to float32.
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "models/config/published.h"
#include "models/gguf/block_types.h"
#include "models/quantize/export.h"
#include "models/quantize/random_checkpoint.h"
#include "models/runtime/cpu_model.h"
#include "tests/models/runtime/tiny_model.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::FreshFolder;

// Every row is whole blocks of every type.
ModelConfig SmallModel(ModelFamily family) {
  ModelConfig config = *PublishedConfig(family == ModelFamily::kQwen3Moe ? "qwen3-30b-a3b"
                                        : family == ModelFamily::kQwen2  ? "qwen2.5-0.5b"
                                                                         : "qwen3-0.6b");
  config.vocab_size = 320;
  config.hidden_size = 256;
  config.intermediate_size = 512;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 64;
  config.layer_types.assign(2, LayerType::kFullAttention);
  config.initializer_range = 0.05;
  if (config.moe.num_experts > 0) {
    config.moe.num_experts = 4;
    config.moe.experts_per_token = 4;  // a choice could flip where rounding is coarse
    config.moe.expert_size = 256;
  }
  return config;
}

std::vector<float> Logits(const std::filesystem::path& path, const CpuModelOptions& options) {
  absl::StatusOr<std::unique_ptr<CpuModel>> model = CpuModel::Load(path, options);
  EXPECT_THAT(model, oneai::testing::IsOk());
  if (!model.ok()) return {};
  absl::StatusOr<PagedKvCache> cache =
      PagedKvCache::Create((*model)->config(), 2, 16, options.dtype);
  EXPECT_THAT(cache, oneai::testing::IsOk());
  std::vector<int32_t> tokens(20), table = {0, 1};
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * i * 7 % 320);
  const SequenceChunk chunk{tokens, 0, table, kAllRows};
  std::vector<float> logits;
  EXPECT_THAT((*model)->Forward({&chunk, 1}, *cache, logits), oneai::testing::IsOk());
  return logits;
}

double RelativeError(const std::vector<float>& x, const std::vector<float>& expected) {
  if (x.size() != expected.size() || x.empty()) return INFINITY;
  double error = 0, norm = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (x[i] - expected[i]) * (x[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(error / norm);
}

class QuantizedModelTest : public ::testing::TestWithParam<ModelFamily> {
 protected:
  void SetUp() override {
    source_ = FreshFolder("root") / "source";
    ASSERT_OK(WriteRandomCheckpoint(SmallModel(GetParam()), 1, "", source_, {}));
  }
  // The codes as they are, with 8-bit activations, beside the decoded weights in float32.
  void ExpectCodesMatchTheirValues(const std::filesystem::path& path, const std::string& what) {
    const std::vector<float> exact = Logits(path, {.dtype = ComputeDtype::kF32, .num_threads = 1});
    EXPECT_LT(RelativeError(Logits(path, {.num_threads = 1}), exact), 0.05) << what;
    EXPECT_LT(RelativeError(Logits(path, {.num_threads = 2}), exact), 0.05) << what;
  }
  std::filesystem::path source_;
};

TEST_P(QuantizedModelTest, FoldersBindWithTheirCodes) {
  const struct {
    FolderQuantization quantization;
    const char* name;
  } kCases[] = {{FolderQuantization::kInt8, "int8"},
                {FolderQuantization::kInt4, "int4"},
                {FolderQuantization::kFloat8, "float8"}};
  for (const auto& test : kCases) {
    const std::filesystem::path target = source_.parent_path() / test.name;
    ASSERT_OK(ExportQuantizedFolder(source_, target, test.quantization, 0, {}));
    ExpectCodesMatchTheirValues(target, test.name);
  }
}

TEST_P(QuantizedModelTest, GgufFilesBindWithTheirCodes) {
  for (const BlockType type : {BlockType::kF16, BlockType::kBF16, BlockType::kQ8_0,
                               BlockType::kQ4_0, BlockType::kQ4_K, BlockType::kQ6_K}) {
    const std::filesystem::path target =
        source_.parent_path() / (std::to_string(static_cast<int>(type)) + ".gguf");
    ASSERT_OK(ExportGguf(source_, target, type, {}));
    ExpectCodesMatchTheirValues(target, target.string());
  }
}

INSTANTIATE_TEST_SUITE_P(Families, QuantizedModelTest,
                         ::testing::Values(ModelFamily::kQwen2, ModelFamily::kQwen3,
                                           ModelFamily::kQwen3Moe));

}  // namespace
}  // namespace oneai::models
