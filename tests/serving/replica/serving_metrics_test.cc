#include "serving/replica/serving_metrics.h"

#include <prometheus/text_serializer.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::serving {
namespace {

using ::testing::HasSubstr;

TEST(ServingMetricsTest, SpeaksThePrometheusNamesOfVllm) {
  prometheus::Registry registry;
  ServingMetrics metrics(registry, "tiny");
  EngineStats stats;
  stats.num_running = 2;
  stats.num_waiting = 3;
  stats.num_blocks = 8;
  stats.num_free_blocks = 6;
  metrics.SetGauges(stats);
  StepReport step;
  step.num_prompt_tokens = 10;
  step.num_output_tokens = 4;
  metrics.OnStep(step);
  RequestReport report;
  report.finish_reason = FinishReason::kCancelled;
  report.usage = {10, 4};
  metrics.OnFinished(report);
  metrics.OnFirstToken(absl::Milliseconds(3));

  const std::string text = prometheus::TextSerializer().Serialize(registry.Collect());
  const std::string label = "{engine=\"0\",model_name=\"tiny\"} ";
  EXPECT_THAT(text, HasSubstr("vllm:num_requests_running" + label + "2\n"));
  EXPECT_THAT(text, HasSubstr("vllm:num_requests_waiting" + label + "3\n"));
  EXPECT_THAT(text, HasSubstr("vllm:kv_cache_usage_perc" + label + "0.25\n"));
  EXPECT_THAT(text, HasSubstr("vllm:prompt_tokens_total" + label + "10\n"));
  EXPECT_THAT(text, HasSubstr("vllm:generation_tokens_total" + label + "4\n"));
  EXPECT_THAT(text, HasSubstr("finished_reason=\"abort\""));
  EXPECT_THAT(text, HasSubstr("vllm:time_to_first_token_seconds_count" + label + "1\n"));
}

}  // namespace
}  // namespace oneai::serving
