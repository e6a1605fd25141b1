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

TEST(AddEventTest, ResponseCollects) {
  v1::GenerationResponse response;
  GenerationEvent event;
  event.text = "a";
  event.token_ids = {1};
  AddEvent(event, response);
  event.text = "b";
  event.token_ids = {2};
  event.finish_reason = FinishReason::kStop;
  event.ends_request = true;
  event.stop_string = "x";
  event.usage = {3, 2};
  AddEvent(event, response);
  EXPECT_EQ(response.text(), "ab");
  EXPECT_EQ(response.token_ids_size(), 2);
  EXPECT_EQ(response.finish_reason(), v1::STOP);
  EXPECT_EQ(response.stop_string(), "x");
  EXPECT_EQ(response.usage().prompt_tokens(), 3);
  EXPECT_EQ(response.usage().completion_tokens(), 2);
}

}  // namespace
}  // namespace oneai::serving
