// File: serving/replica/serving_metrics.h
//
// What the engine reports, as Prometheus metrics under the names that dashboards and autoscalers of
// vLLM expect.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <functional>
#include <map>
#include <string>

#include "serving/engine/engine.h"
#include "serving/engine/engine_observer.h"

namespace oneai::serving {

// Thread-safe. Label of all metrics: model_name.
class ServingMetrics final : public EngineObserver {
 public:
  // `registry` must outlive this.
  ServingMetrics(prometheus::Registry& registry, const std::string& model_name);

  void OnStep(const StepReport& report) override;
  void OnFirstToken(absl::Duration since_submission) override;
  void OnNextToken(absl::Duration since_previous) override;
  void OnFinished(const RequestReport& report) override;

  // Sets the gauges; call before each exposition.
  void SetGauges(const EngineStats& stats);

 private:
  prometheus::Histogram& NewHistogram(const std::string& name, const std::string& help,
                                      const prometheus::Histogram::BucketBoundaries& buckets);
  prometheus::Counter& NewCounter(const std::string& name, const std::string& help,
                                  const prometheus::Labels& labels = {});
  prometheus::Gauge& NewGauge(const std::string& name, const std::string& help);

  prometheus::Registry& registry_;
  const prometheus::Labels labels_;
  prometheus::Gauge &num_running_, &num_waiting_, &kv_usage_;
  prometheus::Counter &prompt_tokens_, &generation_tokens_, &preemptions_, &prefix_queries_,
      &prefix_hits_, &draft_tokens_, &accepted_tokens_;
  std::map<FinishReason, prometheus::Counter*> finished_;
  prometheus::Histogram &time_to_first_token_, &inter_token_latency_, &time_per_output_token_,
      &e2e_latency_, &queue_time_, &prefill_time_, &decode_time_, &inference_time_,
      &request_prompt_tokens_, &request_generation_tokens_, &request_max_tokens_,
      &iteration_tokens_;
};

}  // namespace oneai::serving
