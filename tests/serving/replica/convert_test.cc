#include "serving/replica/convert.h"

#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

TEST(ToSamplingSettingsTest, RequestOverModelOverDefault) {
  models::GenerationConfig model;
  model.temperature = 0.7;
  model.top_k = 20;
  v1::SamplingParams params;
  params.set_temperature(0.2);
  ASSERT_OK_AND_ASSIGN(const SamplingSettings s, ToSamplingSettings(params, model, 16, 99));
  EXPECT_EQ(s.temperature, 0.2);
  EXPECT_EQ(s.top_k, 20);
  EXPECT_EQ(s.top_p, 1.0);
  EXPECT_EQ(s.max_tokens, 16);
  EXPECT_EQ(s.seed, 99u);
}

TEST(ToSamplingSettingsTest, ZeroOfTheRequestIsAValue) {
  models::GenerationConfig model;
  model.temperature = 0.7;
  model.top_k = 20;
  v1::SamplingParams params;
  params.set_temperature(0);
  params.set_top_k(0);
  params.set_seed(0);
  ASSERT_OK_AND_ASSIGN(const SamplingSettings s, ToSamplingSettings(params, model, 16, 99));
  EXPECT_EQ(s.temperature, 0.0);
  EXPECT_EQ(s.top_k, 0);
  EXPECT_EQ(s.seed, 0u);
}

TEST(ToSamplingSettingsTest, ModelThatDoesNotSampleIsGreedy) {
  models::GenerationConfig model;
  model.do_sample = false;
  ASSERT_OK_AND_ASSIGN(const SamplingSettings s, ToSamplingSettings({}, model, 16, 1));
  EXPECT_EQ(s.temperature, 0.0);
}

TEST(ToSamplingSettingsTest, BadParameterIsRefused) {
  v1::SamplingParams params;
  params.set_top_p(2);
  EXPECT_THAT(
      ToSamplingSettings(params, {}, 16, 1),
      testing::StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("top_p is 2")));
}

TEST(ToSamplingSettingsTest, BiasIsInTheOrderOfIds) {
  v1::SamplingParams params;
  for (const int id : {9, 2, 5}) (*params.mutable_logit_bias())[id] = static_cast<float>(id);
  params.set_logprobs(3);
  ASSERT_OK_AND_ASSIGN(const SamplingSettings s, ToSamplingSettings(params, {}, 16, 1));
  EXPECT_EQ(s.logit_bias,
            (std::vector<std::pair<int32_t, float>>{{2, 2.0f}, {5, 5.0f}, {9, 9.0f}}));
  EXPECT_EQ(s.logprobs, 3);
  EXPECT_EQ(s.prompt_logprobs, -1);
}

TEST(SetChoicesTest, BestOfIsAtLeastN) {
  v1::SamplingParams params;
  GenerationRequest request;
  params.set_n(3);
  EXPECT_OK(SetChoices(params, request));
  EXPECT_EQ(request.best_of, 3);
  params.set_best_of(2);
  EXPECT_THAT(SetChoices(params, request),
              testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                ::testing::HasSubstr("best_of is 2; it must be from 3 to 64")));
}

TEST(ToGrammarSpecTest, EachKind) {
  v1::StructuredOutput structured;
  EXPECT_FALSE(ToGrammarSpec(structured)->has_value());
  structured.set_regex("a+");
  EXPECT_EQ((*ToGrammarSpec(structured))->kind, GrammarSpec::Kind::kRegex);
  EXPECT_EQ((*ToGrammarSpec(structured))->text, "a+");
  structured.mutable_choice()->add_choices("x");
  EXPECT_EQ((*ToGrammarSpec(structured))->choices, std::vector<std::string>{"x"});
  structured.set_json_schema("");
  EXPECT_THAT(ToGrammarSpec(structured),
              testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                ::testing::HasSubstr("structured.json_schema is empty")));
}

}  // namespace
}  // namespace oneai::serving
