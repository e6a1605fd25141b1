#include "kernels/sampling/log_probs.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/sampling/exp_nonpositive.h"
#include "kernels/sampling/largest.h"
#include "kernels/sampling/sampling.h"

namespace oneai::kernels {

double LogSumExpOf(absl::Span<const float> logits) {
  const int64_t vocab = static_cast<int64_t>(logits.size());
  if (vocab == 0) return -std::numeric_limits<double>::infinity();
  const double max = logits[ArgMax(logits.data(), vocab)];
  if (std::isinf(max)) return max;
  // Blocks, because the exponentials and their sum are vectorised apart.
  constexpr int64_t kLanes = 8, kBlock = 256;
  double lane[kLanes] = {}, term[kBlock];
  for (int64_t begin = 0; begin < vocab; begin += kBlock) {
    const int64_t count = std::min(kBlock, vocab - begin);
    for (int64_t i = 0; i < count; ++i) term[i] = ExpNonPositive(logits[begin + i] - max);
    std::fill(term + count, term + kBlock, 0.0);
    for (int64_t i = 0; i < kBlock; i += kLanes) {
      for (int64_t j = 0; j < kLanes; ++j) lane[j] += term[i + j];
    }
  }
  double total = 0;
  for (const double x : lane) total += x;
  return max + std::log(total);
}

void LogProbs(absl::Span<const float> logits, int64_t k, int32_t* ids, float* logprobs,
              absl::Span<const int32_t> also_of) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const double lse = LogSumExpOf(logits);
  const auto log_prob = [&](int32_t id) {
    const float logit = logits[id];
    return logit > -kInf ? static_cast<float>(double{logit} - lse) : -kInf;
  };
  const int64_t count = LargestLogits(logits.data(), static_cast<int64_t>(logits.size()), k, ids);
  for (int64_t i = 0; i < k; ++i) {
    if (i >= count) ids[i] = -1;
    logprobs[i] = i < count ? log_prob(ids[i]) : -kInf;
  }
  for (size_t i = 0; i < also_of.size(); ++i) logprobs[k + i] = log_prob(also_of[i]);
}

}  // namespace oneai::kernels
