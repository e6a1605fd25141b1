#include "serving/replica/serving_metrics.h"

namespace oneai::serving {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

// The bucket boundaries of vLLM's metrics (vllm/v1/metrics/loggers.py), so that queries over a
// mixed fleet add up.
const Buckets kRequestSeconds = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                 30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};
const Buckets kFirstTokenSeconds = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                    0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                    20,    40,    80,   160,  640,  2560};
const Buckets kNextTokenSeconds = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                                   0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};
const Buckets kTokens = {1,   2,    5,    10,   20,    50,    100,   200,
                         500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};
const Buckets kStepTokens = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};

}  // namespace

prometheus::Histogram& ServingMetrics::NewHistogram(const std::string& name,
                                                    const std::string& help,
                                                    const Buckets& buckets) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry_).Add(labels_,
                                                                                    buckets);
}

prometheus::Counter& ServingMetrics::NewCounter(const std::string& name, const std::string& help,
                                                const prometheus::Labels& labels) {
  prometheus::Labels all = labels_;
  all.insert(labels.begin(), labels.end());
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry_).Add(all);
}

prometheus::Gauge& ServingMetrics::NewGauge(const std::string& name, const std::string& help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry_).Add(labels_);
}

ServingMetrics::ServingMetrics(prometheus::Registry& registry, const std::string& model_name)
    : registry_(registry),
      labels_{{"model_name", model_name}, {"engine", "0"}},
      num_running_(NewGauge("vllm:num_requests_running", "Requests in the running batch")),
      num_waiting_(NewGauge("vllm:num_requests_waiting", "Requests in the queue")),
      kv_usage_(NewGauge("vllm:kv_cache_usage_perc", "Share of the KV blocks in use, 0 to 1")),
      prompt_tokens_(NewCounter("vllm:prompt_tokens_total", "Prompt tokens computed")),
      generation_tokens_(NewCounter("vllm:generation_tokens_total", "Tokens generated")),
      preemptions_(
          NewCounter("vllm:num_preemptions_total", "Sequences whose KV blocks were taken away")),
      prefix_queries_(NewCounter("vllm:prefix_cache_queries_total", "Prompt tokens looked up")),
      prefix_hits_(NewCounter("vllm:prefix_cache_hits_total", "Prompt tokens found")),
      draft_tokens_(NewCounter("vllm:spec_decode_num_draft_tokens_total", "Tokens guessed")),
      accepted_tokens_(
          NewCounter("vllm:spec_decode_num_accepted_tokens_total", "Guesses that were right")),
      time_to_first_token_(NewHistogram("vllm:time_to_first_token_seconds",
                                        "Submission to first token", kFirstTokenSeconds)),
      inter_token_latency_(NewHistogram("vllm:inter_token_latency_seconds",
                                        "Between two tokens of a request", kNextTokenSeconds)),
      time_per_output_token_(NewHistogram("vllm:request_time_per_output_token_seconds",
                                          "Mean time between tokens, by request",
                                          kNextTokenSeconds)),
      e2e_latency_(NewHistogram("vllm:e2e_request_latency_seconds", "Submission to last token",
                                kRequestSeconds)),
      queue_time_(NewHistogram("vllm:request_queue_time_seconds", "Submission to admission",
                               kRequestSeconds)),
      prefill_time_(NewHistogram("vllm:request_prefill_time_seconds", "Admission to first token",
                                 kRequestSeconds)),
      decode_time_(
          NewHistogram("vllm:request_decode_time_seconds", "First token to last", kRequestSeconds)),
      inference_time_(NewHistogram("vllm:request_inference_time_seconds", "Admission to last token",
                                   kRequestSeconds)),
      request_prompt_tokens_(
          NewHistogram("vllm:request_prompt_tokens", "Prompt tokens, by request", kTokens)),
      request_generation_tokens_(
          NewHistogram("vllm:request_generation_tokens", "Generated tokens, by request", kTokens)),
      request_max_tokens_(
          NewHistogram("vllm:request_params_max_tokens", "max_tokens, by request", kTokens)),
      iteration_tokens_(
          NewHistogram("vllm:iteration_tokens_total", "Tokens computed, by step", kStepTokens)) {
  const std::map<FinishReason, std::string> reasons = {{FinishReason::kStop, "stop"},
                                                       {FinishReason::kLength, "length"},
                                                       {FinishReason::kCancelled, "abort"},
                                                       {FinishReason::kError, "error"}};
  for (const auto& [reason, name] : reasons) {
    finished_[reason] = &NewCounter("vllm:request_success_total", "Requests that ended, by reason",
                                    {{"finished_reason", name}});
  }
}

void ServingMetrics::OnStep(const StepReport& report) {
  prompt_tokens_.Increment(static_cast<double>(report.num_prompt_tokens));
  generation_tokens_.Increment(static_cast<double>(report.num_output_tokens));
  preemptions_.Increment(static_cast<double>(report.num_preempted));
  iteration_tokens_.Observe(static_cast<double>(report.num_batch_tokens));
}

void ServingMetrics::OnFirstToken(absl::Duration since_submission) {
  time_to_first_token_.Observe(absl::ToDoubleSeconds(since_submission));
}

void ServingMetrics::OnNextToken(absl::Duration since_previous) {
  inter_token_latency_.Observe(absl::ToDoubleSeconds(since_previous));
}

void ServingMetrics::OnFinished(const RequestReport& report) {
  if (const auto it = finished_.find(report.finish_reason); it != finished_.end())
    it->second->Increment();
  const double total = absl::ToDoubleSeconds(report.total);
  e2e_latency_.Observe(total);
  request_prompt_tokens_.Observe(static_cast<double>(report.usage.num_prompt_tokens));
  request_generation_tokens_.Observe(static_cast<double>(report.usage.num_completion_tokens));
  request_max_tokens_.Observe(static_cast<double>(report.max_tokens));
  if (report.usage.num_completion_tokens == 0) return;  // the times below need a first token
  const double queued = absl::ToDoubleSeconds(report.queue_time);
  const double first = absl::ToDoubleSeconds(report.to_first_token);
  queue_time_.Observe(queued);
  prefill_time_.Observe(first - queued);
  inference_time_.Observe(total - queued);
  decode_time_.Observe(total - first);
  if (report.usage.num_completion_tokens > 1) {
    time_per_output_token_.Observe((total - first) /
                                   static_cast<double>(report.usage.num_completion_tokens - 1));
  }
}

void ServingMetrics::SetGauges(const EngineStats& stats) {
  num_running_.Set(static_cast<double>(stats.num_running));
  num_waiting_.Set(static_cast<double>(stats.num_waiting));
  kv_usage_.Set(stats.num_blocks == 0 ? 0.0
                                      : 1.0 - static_cast<double>(stats.num_free_blocks) /
                                                  static_cast<double>(stats.num_blocks));
  // Counters that the engine keeps: raised to where it stands.
  const auto raise = [](prometheus::Counter& counter, int64_t total) {
    const double more = static_cast<double>(total) - counter.Value();
    if (more > 0) counter.Increment(more);
  };
  raise(prefix_queries_, stats.num_prefix_queries);
  raise(prefix_hits_, stats.num_prefix_hits);
  raise(draft_tokens_, stats.num_draft_tokens);
  raise(accepted_tokens_, stats.num_accepted_tokens);
}

}  // namespace oneai::serving
