#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "models/lora/lora_adapter.h"
#include "models/lora/lora_config.h"
#include "models/safetensors/checkpoint_writer.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;

constexpr char kTwoPatterns[] = R"({
  "peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"],
  "rank_pattern": {"layers.1.self_attn.q_proj": 2, "q_proj": 16},
  "alpha_pattern": {"down_proj": 3}, "bias": "none", "use_dora": false, "modules_to_save": null})";

std::string With(const std::string& key_and_value) {
  return absl::StrCat(R"({"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"], )",
                      key_and_value, "}");
}

TEST(LoraConfigTest, PatternsOverrideByEndOfNameInDocumentOrder) {
  ASSERT_OK_AND_ASSIGN(const LoraConfig config, ParseLoraConfig(kTwoPatterns, "test"));
  EXPECT_EQ(RankOf(config, "model.layers.1.self_attn.q_proj"), 2);
  EXPECT_EQ(RankOf(config, "model.layers.0.self_attn.q_proj"), 16);
  EXPECT_EQ(RankOf(config, "model.layers.11.self_attn.q_proj"), 16);  // ".1" is no end of ".11"
  EXPECT_EQ(RankOf(config, "model.layers.0.mlp.down_proj"), 4);
  EXPECT_DOUBLE_EQ(ScaleOf(config, "model.layers.0.mlp.down_proj"), 3.0 / 4);
  EXPECT_DOUBLE_EQ(ScaleOf(config, "model.layers.1.self_attn.q_proj"), 8.0 / 2);
}

TEST(LoraConfigTest, RankStabilisedScaleDividesByTheRoot) {
  ASSERT_OK_AND_ASSIGN(const LoraConfig config,
                       ParseLoraConfig(With(R"("lora_alpha": 8, "use_rslora": true)"), "test"));
  EXPECT_DOUBLE_EQ(ScaleOf(config, "model.layers.0.self_attn.q_proj"), 4.0);
}

TEST(LoraConfigTest, SelectsWholeNamesAndEndsAfterADot) {
  ASSERT_OK_AND_ASSIGN(const LoraConfig config, ParseLoraConfig(kTwoPatterns, "test"));
  EXPECT_TRUE(SelectsModule(config, "model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(SelectsModule(config, "q_proj"));
  EXPECT_FALSE(SelectsModule(config, "model.layers.0.self_attn.xq_proj"));
  EXPECT_FALSE(SelectsModule(config, "model.layers.0.self_attn.k_proj"));
  ASSERT_OK_AND_ASSIGN(
      const LoraConfig all,
      ParseLoraConfig(R"({"peft_type": "LORA", "target_modules": "all-linear"})", "test"));
  EXPECT_TRUE(SelectsModule(all, "model.layers.0.mlp.up_proj"));
  EXPECT_FALSE(SelectsModule(all, "lm_head"));
}

TEST(LoraConfigTest, RefusesByNameWhatItDoesNotCompute) {
  for (const char* setting :
       {R"("use_dora": true)", R"("modules_to_save": ["lm_head"])", R"("bias": "all")",
        R"("layers_to_transform": [1])", R"("fan_in_fan_out": true)", R"("lora_bias": true)",
        R"("init_lora_weights": "pissa")", R"("rank_pattern": {"layers.[01].q_proj": 2})",
        R"("exclude_modules": ["k_proj"])", R"("a_setting_of_tomorrow": 1)"}) {
    const std::string key = std::string(setting).substr(1, std::string(setting).find('"', 1) - 1);
    EXPECT_THAT(ParseLoraConfig(With(setting), "test"),
                StatusIs(absl::StatusCode::kUnimplemented, HasSubstr(key)))
        << setting;
  }
  EXPECT_THAT(ParseLoraConfig(R"({"peft_type": "IA3", "target_modules": ["q_proj"]})", "test"),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("IA3")));
  EXPECT_THAT(ParseLoraConfig(R"({"peft_type": "LORA", "target_modules": ".*q_proj"})", "test"),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("target_modules")));
}

TEST(LoraConfigTest, RefusesValuesOutOfRange) {
  for (const char* setting :
       {R"("lora_alpha": 0)", R"("lora_alpha": 1e300)", R"("lora_alpha": "8")",
        R"("rank_pattern": {"q_proj": 0})", R"("rank_pattern": [2])",
        R"("alpha_pattern": {"q_proj": null})", R"("use_rslora": 1)", R"("lora_dropout": 2)"}) {
    EXPECT_THAT(ParseLoraConfig(With(setting), "test"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("test: ")))
        << setting;
  }
  EXPECT_THAT(ParseLoraConfig(R"({"peft_type": "LORA", "r": 8})", "test"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("target_modules")));
}

std::filesystem::path BaseFolder() { return oneai::testing::DataDir() / "golden" / "qwen2_lora"; }

// A copy of adapter `name` that a test may damage.
std::filesystem::path CopyAdapter(const std::string& name) {
  const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / absl::StrCat("lora_", info->name());
  std::filesystem::remove_all(folder);
  std::filesystem::copy(BaseFolder() / name, folder);
  return folder;
}

TEST(LoraAdapterTest, MergesIntoTheAdaptedMatricesOnly) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, LoadModelConfig(BaseFolder()));
  ASSERT_OK_AND_ASSIGN(const Checkpoint base, Checkpoint::Open(BaseFolder()));
  ASSERT_OK_AND_ASSIGN(const LoraAdapter adapter,
                       LoraAdapter::Load(BaseFolder() / "adapter_b", config));
  ASSERT_OK_AND_ASSIGN(const Checkpoint merged, MergeAdapter(config, base, adapter));
  EXPECT_EQ(adapter.modules().size(), 4u);  // q and v of two layers
  const std::string q = "model.layers.1.self_attn.q_proj.weight";
  EXPECT_EQ(merged.Find("model.layers.1.mlp.up_proj.weight")->dtype, DType::kBF16);
  EXPECT_EQ(merged.Find(q)->dtype, DType::kF32);
  EXPECT_EQ(base.Find(q)->dtype, DType::kBF16);  // untouched
  EXPECT_EQ(merged.Find(q)->shape, base.Find(q)->shape);

  const LoraModule* module = nullptr;
  for (const LoraModule& m : adapter.modules())
    if (m.weight == q) module = &m;
  ASSERT_NE(module, nullptr);
  ASSERT_OK_AND_ASSIGN(const std::vector<float> w, ToFloat32(*base.Find(q)));
  ASSERT_OK_AND_ASSIGN(const std::vector<float> ours, ToFloat32(*merged.Find(q)));
  ASSERT_OK_AND_ASSIGN(const std::vector<float> a, ToFloat32(module->a));
  ASSERT_OK_AND_ASSIGN(const std::vector<float> b, ToFloat32(module->b));
  const int64_t in = module->a.shape[1];
  for (size_t i = 0; i < w.size(); ++i) {
    double want = w[i];
    const int64_t row = static_cast<int64_t>(i) / in, column = static_cast<int64_t>(i) % in;
    for (int64_t r = 0; r < module->rank; ++r)
      want += 4.0 * b[row * module->rank + r] * a[r * in + column];  // alpha 8 / sqrt(4)
    EXPECT_NEAR(ours[i], want, 1e-6);
  }
}

TEST(LoraAdapterTest, AcceptsNamesOfBareAndVisionLanguageModels) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, LoadModelConfig(BaseFolder()));
  ASSERT_OK_AND_ASSIGN(const Checkpoint stored, Checkpoint::OpenFile(BaseFolder() / "adapter_b" /
                                                                     "adapter_model.safetensors"));
  for (const std::string stem : {"", "model.language_model."}) {
    const std::filesystem::path folder = CopyAdapter("adapter_b");
    std::vector<TensorSpec> specs;
    for (const TensorView& tensor : stored.tensors()) {
      std::string name = tensor.name;
      const std::string usual = "base_model.model.model.";
      name.replace(0, usual.size(), "base_model.model." + stem);
      specs.push_back({name, tensor.dtype, tensor.shape});
    }
    ASSERT_OK_AND_ASSIGN(const auto writer, CheckpointWriter::Create(folder, specs));
    for (size_t i = 0; i < specs.size(); ++i)
      ASSERT_OK(writer->Append(specs[i].name, stored.tensors()[i].data));
    ASSERT_OK(writer->Commit());
    std::filesystem::rename(folder / "model.safetensors", folder / "adapter_model.safetensors");
    ASSERT_OK_AND_ASSIGN(const LoraAdapter adapter, LoraAdapter::Load(folder, config));
    EXPECT_EQ(adapter.modules().size(), 4u);
    EXPECT_EQ(adapter.modules()[0].weight, "model.layers.0.self_attn.q_proj.weight");
  }
}

TEST(LoraAdapterTest, RefusesTensorsThatDoNotFitTheConfig) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, LoadModelConfig(BaseFolder()));
  const std::filesystem::path folder = CopyAdapter("adapter_b");
  auto write_config = [&](const std::string& text) {
    std::ofstream(folder / "adapter_config.json") << text;
  };
  write_config(R"({"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "k_proj"]})");
  EXPECT_THAT(LoraAdapter::Load(folder, config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("k_proj.lora_A")));
  write_config(R"({"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]})");
  EXPECT_THAT(LoraAdapter::Load(folder, config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("v_proj")));
  write_config(R"({"peft_type": "LORA", "r": 5, "target_modules": ["q_proj", "v_proj"]})");
  EXPECT_THAT(LoraAdapter::Load(folder, config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("[5, 64]")));
  write_config(R"({"peft_type": "LORA", "r": 4, "target_modules": ["embed_tokens"]})");
  EXPECT_THAT(LoraAdapter::Load(folder, config),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("embed_tokens")));
  std::filesystem::remove(folder / "adapter_config.json");
  EXPECT_THAT(LoraAdapter::Load(folder, config),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("adapter_config.json")));
}

TEST(LoraAdapterTest, RefusesABaseOfAnotherShape) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, LoadModelConfig(BaseFolder()));
  ASSERT_OK_AND_ASSIGN(const LoraAdapter adapter,
                       LoraAdapter::Load(BaseFolder() / "adapter_a", config));
  const std::filesystem::path other = oneai::testing::DataDir() / "golden" / "qwen3";
  ASSERT_OK_AND_ASSIGN(const Checkpoint base, Checkpoint::Open(other));
  EXPECT_THAT(MergeAdapter(config, base, adapter),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("qwen3")));
}

}  // namespace
}  // namespace oneai::models
