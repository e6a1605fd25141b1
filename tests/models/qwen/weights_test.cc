#include "models/qwen/weights.h"

#include <algorithm>

#include "gtest/gtest.h"
#include "tests/models/runtime/tiny_model.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models::qwen {
namespace {

using ::oneai::testing::FreshFolder;
using ::oneai::testing::IsOk;
using ::oneai::testing::SpecsOf;
using ::oneai::testing::StatusIs;
using ::oneai::testing::TinyQwen2;
using ::oneai::testing::TinyQwen3;
using ::oneai::testing::WriteTensors;
using ::testing::AllOf;
using ::testing::HasSubstr;

absl::StatusOr<StoredWeights> MatchSpecs(const ModelConfig& config,
                                         const std::vector<TensorSpec>& specs) {
  const std::filesystem::path folder = FreshFolder("model");
  WriteTensors(folder, specs);
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(folder));
  return MatchCheckpoint(config, checkpoint);
}

bool Contains(const std::vector<WeightSpec>& table, absl::string_view name) {
  return std::ranges::find(table, name, &WeightSpec::name) != table.end();
}

TEST(WeightTableTest, FamiliesDifferOnlyWhereTheConfigSays) {
  const std::vector<WeightSpec> qwen2 = WeightTable(TinyQwen2()), qwen3 = WeightTable(TinyQwen3());
  EXPECT_TRUE(Contains(qwen2, "model.layers.2.self_attn.k_proj.bias"));
  EXPECT_FALSE(Contains(qwen2, "model.layers.2.self_attn.o_proj.bias"));
  EXPECT_FALSE(Contains(qwen2, "model.layers.0.self_attn.q_norm.weight"));
  EXPECT_TRUE(Contains(qwen2, kLmHead));
  EXPECT_FALSE(Contains(qwen3, "model.layers.2.self_attn.k_proj.bias"));
  EXPECT_TRUE(Contains(qwen3, "model.layers.0.self_attn.q_norm.weight"));
  EXPECT_FALSE(Contains(qwen3, kLmHead));
}

TEST(MatchCheckpointTest, AcceptsExactlyTheTable) {
  EXPECT_THAT(MatchSpecs(TinyQwen2(), SpecsOf(TinyQwen2())), IsOk());
  EXPECT_THAT(MatchSpecs(TinyQwen3(), SpecsOf(TinyQwen3())), IsOk());
}

TEST(MatchCheckpointTest, NamesAMissingTensor) {
  std::vector<TensorSpec> specs = SpecsOf(TinyQwen3());
  std::erase_if(specs,
                [](const TensorSpec& s) { return s.name == "model.layers.1.mlp.up_proj.weight"; });
  EXPECT_THAT(MatchSpecs(TinyQwen3(), specs),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("tensor 'model.layers.1.mlp.up_proj.weight' is missing")));
}

TEST(MatchCheckpointTest, NamesATensorThatIsLeftOver) {
  std::vector<TensorSpec> specs = SpecsOf(TinyQwen3());
  specs.push_back({"model.layers.3.mlp.up_proj.weight", DType::kF32, {37, 52}});
  EXPECT_THAT(
      MatchSpecs(TinyQwen3(), specs),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("model.layers.3.mlp.up_proj.weight")));
}

TEST(MatchCheckpointTest, NamesBothShapesOfAMisfit) {
  std::vector<TensorSpec> specs = SpecsOf(TinyQwen3());
  for (TensorSpec& spec : specs) {
    if (spec.name == kFinalNorm) spec.shape = {51};
  }
  EXPECT_THAT(
      MatchSpecs(TinyQwen3(), specs),
      StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("[51]"), HasSubstr("[52]"))));
}

TEST(MatchCheckpointTest, RefusesIntegerWeights) {
  std::vector<TensorSpec> specs = SpecsOf(TinyQwen3());
  for (TensorSpec& spec : specs) {
    if (spec.name == kFinalNorm) spec.dtype = DType::kI32;
  }
  EXPECT_THAT(MatchSpecs(TinyQwen3(), specs),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("I32")));
}

TEST(MatchCheckpointTest, AcceptsABareModel) {
  std::vector<TensorSpec> specs = SpecsOf(TinyQwen3());
  for (TensorSpec& spec : specs) spec.name = spec.name.substr(std::string("model.").size());
  ASSERT_OK_AND_ASSIGN(const StoredWeights stored, MatchSpecs(TinyQwen3(), specs));
  EXPECT_EQ(stored.at(kFinalNorm).name, "norm.weight");
}

TEST(MatchCheckpointTest, RefusesASeparateHeadInATiedModel) {
  std::vector<TensorSpec> specs = SpecsOf(TinyQwen3());
  specs.push_back({std::string(kLmHead), DType::kF32, {101, 52}});
  EXPECT_THAT(MatchSpecs(TinyQwen3(), specs),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tie_word_embeddings")));
}

TEST(MatchCheckpointTest, ReportsAtMostThreeTensors) {
  EXPECT_THAT(MatchSpecs(TinyQwen3(), {{"x", DType::kF32, {1}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more")));
}

}  // namespace
}  // namespace oneai::models::qwen
