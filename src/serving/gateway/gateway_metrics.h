// File: serving/gateway/gateway_metrics.h
//
// What the gateway counts, under the names that dashboards and autoscalers know from vLLM where a
// name exists. Labels: model (known endpoints only), api, code.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace oneai::serving {

// One finished generation.
struct GenerationRecord {
  std::string model;
  std::string api;  // "chat", "completion"
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string finish_reason;  // "stop", "length"; empty unless OK
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  absl::Duration first_token = absl::InfiniteDuration();  // infinite: there was none
  absl::Duration total;
};

// Thread-safe. `registry` must outlive it.
class GatewayMetrics {
 public:
  explicit GatewayMetrics(prometheus::Registry& registry);
  void Begin(const std::string& model);
  void End(const GenerationRecord& record);
  // A request that was refused before it reached an endpoint.
  void Refuse(absl::StatusCode code);

 private:
  prometheus::Family<prometheus::Gauge>& running_;
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Counter>& refused_;
  prometheus::Family<prometheus::Counter>& success_;
  prometheus::Family<prometheus::Counter>& prompt_tokens_;
  prometheus::Family<prometheus::Counter>& generation_tokens_;
  prometheus::Family<prometheus::Histogram>& first_token_;
  prometheus::Family<prometheus::Histogram>& per_output_token_;
  prometheus::Family<prometheus::Histogram>& total_;
};

}  // namespace oneai::serving
