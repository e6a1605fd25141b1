#include "model_platform/settings/settings.h"

#include <string>

#include "tests/testing/status_matchers.h"

namespace oneai::platform {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kSmallest[] = R"({
  "dataset": "retail/shakespeare", "max_steps": 120,
  "model": {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4,
            "num_attention_heads": 6}
})";

std::string With(const std::string& extra) {
  std::string text = kSmallest;
  return text.insert(text.find('{') + 1, extra + ",");
}

TEST(PretrainSettingsTest, SmallestFileTakesDefaults) {
  ASSERT_OK_AND_ASSIGN(const PretrainSettings s, ParsePretrainSettings(kSmallest, "job.json"));
  EXPECT_EQ(s.dataset, "retail/shakespeare");
  EXPECT_EQ(s.purpose, "pretraining");
  EXPECT_EQ(s.max_steps, 120);
  EXPECT_EQ(s.model.architecture, "qwen3");
  EXPECT_TRUE(s.bf16);
  EXPECT_EQ(s.lr_scheduler_type, LrScheduler::kCosine);
}

TEST(PretrainSettingsTest, CanonicalJsonParsesBackToTheSame) {
  const std::string text = With(R"("lr_scheduler_type": "wsd", "decay_type": "1-sqrt",
      "num_decay_steps": 30, "warmup_steps": 7, "learning_rate": 0.00123, "torch_dtype": "float32",
      "document_separator": "\n---\n", "paragraphs_per_document": 8, "register_as": "retail/bard",
      "tokenizer": {"vocab_size": 4096}, "seed": 7)");
  ASSERT_OK_AND_ASSIGN(const PretrainSettings s, ParsePretrainSettings(text, "job.json"));
  EXPECT_EQ(s.lr_scheduler_type, LrScheduler::kWsd);
  EXPECT_EQ(s.decay_type, LrDecay::kMinusSqrt);
  EXPECT_EQ(s.torch_dtype, WeightsDtype::kFloat32);
  ASSERT_OK_AND_ASSIGN(const PretrainSettings again,
                       ParsePretrainSettings(CanonicalJson(s), "canonical"));
  EXPECT_EQ(again, s);
  EXPECT_EQ(CanonicalJson(again), CanonicalJson(s));
}

struct BadCase {
  std::string extra;
  std::string key;
};
class PretrainSettingsErrorTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(PretrainSettingsErrorTest, NamesTheKey) {
  EXPECT_THAT(ParsePretrainSettings(With(GetParam().extra), "job.json"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("job.json"), HasSubstr(GetParam().key))));
}

INSTANTIATE_TEST_SUITE_P(
    All, PretrainSettingsErrorTest,
    ::testing::Values(BadCase{R"("learning_rat": 1e-3)", "learning_rate"},
                      BadCase{R"("learning_rate": -1)", "learning_rate"},
                      BadCase{R"("max_length": "long")", "max_length"},
                      BadCase{R"("lr_scheduler_type": "constant")", "lr_scheduler_type"},
                      BadCase{R"("warmup_steps": 120)", "warmup_steps"},
                      BadCase{R"("num_decay_steps": 100, "warmup_steps": 30)", "num_decay_steps"},
                      BadCase{R"("register_as": "no unit")", "register_as"},
                      BadCase{R"("tokenizer": {"vocab_size": 10})", "vocab_size"},
                      BadCase{R"("tokenizer": {"from_model": "a/b@champion"})", "from_model"},
                      BadCase{R"("split_dataset_ratio": 1.5)", "split_dataset_ratio"},
                      BadCase{R"("purpose": "")", "purpose"}));

TEST(PretrainSettingsTest, ModelMustBeConsistent) {
  EXPECT_THAT(ParsePretrainSettings(R"({"dataset": "a/b", "max_steps": 1})", "job.json"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("model")));
  EXPECT_THAT(ParsePretrainSettings(
                  R"({"dataset": "a/b", "max_steps": 1, "model": {"hidden_size": 64,
              "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
              "num_key_value_heads": 3}})",
                  "job.json"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("num_key_value_heads")));
}

TEST(EvaluateSettingsTest, ReadsReferencesAndSplit) {
  ASSERT_OK_AND_ASSIGN(
      const EvaluateSettings s,
      ParseEvaluateSettings(
          R"({"model": "retail/bard@champion", "dataset": "retail/shakespeare@1"})", "e.json"));
  EXPECT_EQ(s.split, "validation");
  EXPECT_LT(s.split_dataset_ratio, 0);
  EXPECT_FALSE(s.has_document_rules);
}

TEST(EvaluateSettingsTest, RefusesNonsense) {
  EXPECT_THAT(ParseEvaluateSettings(R"({"model": "../x", "dataset": "a/b"})", "e.json"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("model")));
  EXPECT_THAT(ParseEvaluateSettings(
                  R"({"model": "a/b", "dataset": "a/b", "split": "all",
                      "split_dataset_ratio": 0.1})",
                  "e.json"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("split_dataset_ratio")));
}

TEST(NamesTest, QualifiedNamesCannotEscape) {
  EXPECT_TRUE(IsQualifiedName("retail/bard-2.5_b"));
  for (const char* bad : {"", "bard", "a/b/c", "../b", "a/..", "a/.b", "A/b", "a/b c", "a//b"}) {
    EXPECT_FALSE(IsQualifiedName(bad)) << bad;
  }
  EXPECT_TRUE(IsReference("a/b@12"));
  EXPECT_FALSE(IsReference("a/b@"));
  EXPECT_FALSE(IsReference("a/b@../c"));
}

}  // namespace
}  // namespace oneai::platform
