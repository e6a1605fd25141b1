// File: model_platform/evaluate/perplexity.h
//
// Perplexity of a model over documents, on the CPU engine that serving uses.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "models/runtime/cpu_model.h"

namespace oneai::platform {

// Sums over all documents, in natural logarithms.
struct PerplexityTotals {
  double log_likelihood = 0;
  int64_t num_tokens = 0;
  int64_t num_bytes = 0;  // of the original text
  int64_t num_documents = 0;
};

// loss = -ll / tokens; perplexity = exp(loss); byte_perplexity = exp(-ll / bytes);
// bits_per_byte = -ll / bytes / ln 2; and the counts. Perplexity compares models of one tokenizer
// only, bits_per_byte any. Empty totals give counts alone.
std::map<std::string, double> PerplexityMetrics(const PerplexityTotals& totals);

// Scores documents by rolling windows, several windows a step. Thread-compatible.
class PerplexityScorer {
 public:
  // `prefix`: the token before every document. ResourceExhausted: no memory for the cache.
  static absl::StatusOr<PerplexityScorer> Create(models::CpuModel* model, int64_t max_length,
                                                 int32_t prefix);

  // `num_bytes` of the text that `tokens` stand for.
  absl::Status Add(absl::Span<const int32_t> tokens, int64_t num_bytes);
  // Scores what is queued and returns the sums.
  absl::StatusOr<PerplexityTotals> Finish();

 private:
  struct QueuedWindow {
    std::vector<int32_t> input;
    std::vector<int32_t> scored;  // targets of the last scored.size() inputs
  };
  PerplexityScorer(models::CpuModel* model, int64_t max_length, int32_t prefix,
                   models::PagedKvCache cache);
  absl::Status Flush();

  models::CpuModel* model_;
  int64_t max_length_;
  int32_t prefix_;
  models::PagedKvCache cache_;
  std::vector<std::vector<int32_t>> block_tables_;  // of the step's slots
  std::vector<QueuedWindow> queue_;
  std::vector<float> logits_;
  PerplexityTotals totals_;
};

}  // namespace oneai::platform
