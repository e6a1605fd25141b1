#include "serving/sampling/token_log_probs.h"

#include <algorithm>

#include "kernels/sampling/log_probs.h"

namespace oneai::serving {

double SetTop(absl::Span<const float> logits, int32_t num_top, int64_t num_tokens_known,
              kernels::SamplingScratch& scratch, TokenLogProbs& log_probs) {
  const int64_t num_known = std::min<int64_t>(logits.size(), num_tokens_known);
  const int64_t count = std::clamp<int64_t>(num_top, 0, num_known);
  log_probs.top_ids.resize(count);
  log_probs.top_values.resize(count);
  const double sum = kernels::TopLogProbs(logits, num_known, count, log_probs.top_ids.data(),
                                          log_probs.top_values.data(), scratch);
  // Of a row that is nearly all masked.
  while (!log_probs.top_ids.empty() && log_probs.top_ids.back() < 0) {
    log_probs.top_ids.pop_back();
    log_probs.top_values.pop_back();
  }
  return sum;
}

TokenLogProbs LogProbsOf(absl::Span<const float> logits, int32_t token, int32_t num_top,
                         int64_t num_tokens_known, kernels::SamplingScratch& scratch) {
  TokenLogProbs result;
  const double sum = SetTop(logits, num_top, num_tokens_known, scratch, result);
  result.chosen = static_cast<float>(double{logits[token]} - sum);
  return result;
}

}  // namespace oneai::serving
