// File: serving/gateway/gateway_metrics.cc
#include "serving/gateway/gateway_metrics.h"

namespace oneai::serving {
namespace {

template <typename Builder>
auto& Register(Builder builder, prometheus::Registry& registry, const char* name,
               const char* meaning) {
  return builder.Name(name).Help(meaning).Register(registry);
}

const prometheus::Histogram::BucketBoundaries kFirstTokenSeconds = {
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60};
const prometheus::Histogram::BucketBoundaries kPerTokenSeconds = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5};
const prometheus::Histogram::BucketBoundaries kTotalSeconds = {
    0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960};

}  // namespace

GatewayMetrics::GatewayMetrics(prometheus::Registry& registry)
    : running_(Register(prometheus::BuildGauge(), registry, "vllm:num_requests_running",
                        "Generations in progress")),
      requests_(Register(prometheus::BuildCounter(), registry, "oneai_gateway_requests_total",
                         "Generations by outcome")),
      refused_(Register(prometheus::BuildCounter(), registry, "oneai_gateway_refused_total",
                        "Requests refused before they reached an endpoint")),
      success_(Register(prometheus::BuildCounter(), registry, "vllm:request_success_total",
                        "Finished generations by finish reason")),
      prompt_tokens_(Register(prometheus::BuildCounter(), registry, "vllm:prompt_tokens_total",
                              "Prompt tokens")),
      generation_tokens_(Register(prometheus::BuildCounter(), registry,
                                  "vllm:generation_tokens_total", "Generated tokens")),
      first_token_(Register(prometheus::BuildHistogram(), registry,
                            "vllm:time_to_first_token_seconds", "From request to first token")),
      per_output_token_(Register(prometheus::BuildHistogram(), registry,
                                 "vllm:request_time_per_output_token_seconds",
                                 "Mean time between tokens of a request")),
      total_(Register(prometheus::BuildHistogram(), registry, "vllm:e2e_request_latency_seconds",
                      "From request to its end")) {}

void GatewayMetrics::Begin(const std::string& model) {
  running_.Add({{"model_name", model}}).Increment();
}

void GatewayMetrics::End(const GenerationRecord& record) {
  const prometheus::Labels model = {{"model_name", record.model}};
  running_.Add(model).Decrement();
  requests_
      .Add({{"model_name", record.model},
            {"api", record.api},
            {"code", absl::StatusCodeToString(record.code)}})
      .Increment();
  prompt_tokens_.Add(model).Increment(static_cast<double>(record.prompt_tokens));
  generation_tokens_.Add(model).Increment(static_cast<double>(record.completion_tokens));
  if (!record.finish_reason.empty()) {
    success_.Add({{"model_name", record.model}, {"finished_reason", record.finish_reason}})
        .Increment();
  }
  if (record.first_token != absl::InfiniteDuration()) {
    first_token_.Add(model, kFirstTokenSeconds).Observe(absl::ToDoubleSeconds(record.first_token));
    if (record.completion_tokens > 1) {
      per_output_token_.Add(model, kPerTokenSeconds)
          .Observe(absl::ToDoubleSeconds(record.total - record.first_token) /
                   static_cast<double>(record.completion_tokens - 1));
    }
  }
  total_.Add(model, kTotalSeconds).Observe(absl::ToDoubleSeconds(record.total));
}

void GatewayMetrics::Refuse(absl::StatusCode code) {
  refused_.Add({{"code", absl::StatusCodeToString(code)}}).Increment();
}

}  // namespace oneai::serving
