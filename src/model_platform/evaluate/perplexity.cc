#include "model_platform/evaluate/perplexity.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "base/status.h"
#include "model_platform/evaluate/rolling_windows.h"

namespace oneai::platform {
namespace {

constexpr int64_t kBlockTokens = 16;
constexpr int64_t kStepTokens = 2048;

// log softmax(logits)[target], accumulated in double.
double LogProbability(absl::Span<const float> logits, int32_t target) {
  const float top = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float x : logits) sum += std::exp(x - top);
  return static_cast<double>(logits[target] - top) - std::log(sum);
}

}  // namespace

std::map<std::string, double> PerplexityMetrics(const PerplexityTotals& t) {
  std::map<std::string, double> metrics = {{"tokens", static_cast<double>(t.num_tokens)},
                                           {"bytes", static_cast<double>(t.num_bytes)},
                                           {"documents", static_cast<double>(t.num_documents)}};
  if (t.num_tokens == 0 || t.num_bytes == 0) return metrics;
  const double per_token = -t.log_likelihood / static_cast<double>(t.num_tokens);
  const double per_byte = -t.log_likelihood / static_cast<double>(t.num_bytes);
  metrics["loss"] = per_token;
  metrics["perplexity"] = std::exp(per_token);
  metrics["byte_perplexity"] = std::exp(per_byte);
  metrics["bits_per_byte"] = per_byte / std::numbers::ln2;
  return metrics;
}

PerplexityScorer::PerplexityScorer(models::CpuModel* model, int64_t max_length, int32_t prefix,
                                   models::PagedKvCache cache)
    : model_(model), max_length_(max_length), prefix_(prefix), cache_(std::move(cache)) {}

absl::StatusOr<PerplexityScorer> PerplexityScorer::Create(models::CpuModel* model,
                                                          int64_t max_length, int32_t prefix) {
  const int64_t blocks_per_window = (max_length + kBlockTokens - 1) / kBlockTokens;
  const int64_t num_slots = std::max<int64_t>(1, kStepTokens / max_length);
  ASSIGN_OR_RETURN(models::PagedKvCache cache,
                   models::PagedKvCache::Create(model->config(), num_slots * blocks_per_window,
                                                kBlockTokens, models::ComputeDtype::kBf16));
  PerplexityScorer scorer(model, max_length, prefix, std::move(cache));
  for (int64_t slot = 0; slot < num_slots; ++slot) {
    std::vector<int32_t>& table = scorer.block_tables_.emplace_back(blocks_per_window);
    std::iota(table.begin(), table.end(), static_cast<int32_t>(slot * blocks_per_window));
  }
  return scorer;
}

absl::Status PerplexityScorer::Add(absl::Span<const int32_t> tokens, int64_t num_bytes) {
  std::vector<int32_t> sequence = {prefix_};
  sequence.insert(sequence.end(), tokens.begin(), tokens.end());
  for (const RollingWindow& window :
       RollingWindows(static_cast<int64_t>(tokens.size()), max_length_)) {
    const auto begin = sequence.begin() + window.input_begin;
    const auto end = begin + window.input_count;
    queue_.push_back({{begin, end}, {end + 1 - window.score_count, end + 1}});
    if (queue_.size() == block_tables_.size()) RETURN_IF_ERROR(Flush());
  }
  totals_.num_tokens += static_cast<int64_t>(tokens.size());
  totals_.num_bytes += num_bytes;
  ++totals_.num_documents;
  return absl::OkStatus();
}

absl::Status PerplexityScorer::Flush() {
  std::vector<models::SequenceChunk> chunks;
  for (size_t i = 0; i < queue_.size(); ++i) {
    chunks.push_back({queue_[i].input, 0, block_tables_[i], models::kAllRows});
  }
  RETURN_IF_ERROR(model_->Forward(chunks, cache_, logits_));
  const int64_t width = model_->output_dim();
  const float* row = logits_.data();
  for (const QueuedWindow& window : queue_) {
    row += static_cast<int64_t>(window.input.size() - window.scored.size()) * width;
    for (const int32_t target : window.scored) {
      totals_.log_likelihood += LogProbability(absl::MakeConstSpan(row, width), target);
      row += width;
    }
  }
  queue_.clear();
  return absl::OkStatus();
}

absl::StatusOr<PerplexityTotals> PerplexityScorer::Finish() {
  if (!queue_.empty()) RETURN_IF_ERROR(Flush());
  return totals_;
}

}  // namespace oneai::platform
