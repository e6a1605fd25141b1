#include "serving/sampling/token_log_probs.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/sampling/sampling.h"

namespace oneai::serving {
namespace {

double LogSumExp(absl::Span<const float> logits) {
  const double max = logits[kernels::ArgMax(logits.data(), static_cast<int64_t>(logits.size()))];
  double sum = 0;
  for (float logit : logits) sum += std::exp(double{logit} - max);
  return max + std::log(sum);
}

}  // namespace

TokenLogProbs LogProbsOf(absl::Span<const float> logits, int32_t token, int32_t num_top,
                         int64_t num_tokens_known) {
  const double total = LogSumExp(logits);
  TokenLogProbs result;
  result.chosen = static_cast<float>(logits[token] - total);
  if (num_top <= 0) return result;
  // The best so far, best first; few, so that insertion is cheapest.
  const auto better = [&](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  const int64_t vocab = std::min<int64_t>(logits.size(), num_tokens_known);
  std::vector<int32_t>& top = result.top_ids;
  for (int32_t id = 0; id < vocab; ++id) {
    if (static_cast<int32_t>(top.size()) == num_top) {
      if (!better(id, top.back())) continue;
      top.pop_back();
    }
    top.insert(std::upper_bound(top.begin(), top.end(), id, better), id);
  }
  for (int32_t id : top) result.top_values.push_back(static_cast<float>(logits[id] - total));
  return result;
}

}  // namespace oneai::serving
