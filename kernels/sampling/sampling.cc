// Works on a shrinking candidate list: top-k and min-p cut it by a threshold before anything is
// sorted, so only top-p sorts, and only what is left. Probabilities are float64 sums of float32
// logits.
#include "kernels/sampling/sampling.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "kernels/sampling/philox.h"

namespace oneai::kernels {
namespace {

// Candidates stand in `order`, ascending; `logits` are already divided by the temperature.
void KeepTopK(SamplingScratch& s, int32_t top_k) {
  if (top_k <= 0 || static_cast<size_t>(top_k) >= s.order.size()) return;
  std::vector<float>& sorted = s.values;
  sorted.clear();
  for (int32_t i : s.order) sorted.push_back(s.logits[i]);
  std::nth_element(sorted.begin(), sorted.begin() + (top_k - 1), sorted.end(), std::greater<>());
  const float threshold = sorted[top_k - 1];
  std::erase_if(s.order, [&](int32_t i) { return s.logits[i] < threshold; });
}

double Weight(const SamplingScratch& s, int32_t i, float max) {
  return std::exp(double{s.logits[i]} - max);
}

double TotalWeight(const SamplingScratch& s, float max) {
  double total = 0;
  for (int32_t i : s.order) total += Weight(s, i, max);
  return total;
}

void KeepTopP(SamplingScratch& s, float top_p, float max) {
  if (top_p >= 1.0f) return;
  const double target = top_p * TotalWeight(s, max);
  std::sort(s.order.begin(), s.order.end(), [&](int32_t a, int32_t b) {
    return s.logits[a] != s.logits[b] ? s.logits[a] > s.logits[b] : a < b;
  });
  double before = 0;  // weight of the better tokens
  size_t kept = 0;
  while (kept < s.order.size() && (kept == 0 || before < target)) {
    before += Weight(s, s.order[kept++], max);
  }
  s.order.resize(kept);
  std::sort(s.order.begin(), s.order.end());
}

void KeepMinP(SamplingScratch& s, float min_p, float max) {
  if (min_p <= 0.0f) return;
  std::erase_if(s.order,
                [&](int32_t i) { return s.logits[i] != max && Weight(s, i, max) < min_p; });
}

}  // namespace

int32_t ArgMax(const float* logits, int64_t vocab) {
  int64_t best = 0;
  float max = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < vocab; ++i) {
    if (logits[i] > max) {
      max = logits[i];
      best = i;
    }
  }
  return static_cast<int32_t>(best);
}

int32_t SampleToken(const float* logits, int64_t vocab, const SamplingParams& params, uint64_t seed,
                    uint64_t position, SamplingScratch& s) {
  const int32_t best = ArgMax(logits, vocab);
  // An infinite logit leaves nothing to draw (and would make every weight 0 or NaN below).
  if (params.temperature <= 0.0f || std::isinf(logits[best])) return best;

  s.logits.resize(vocab);
  s.order.clear();
  for (int64_t i = 0; i < vocab; ++i) {
    s.logits[i] = logits[i] / params.temperature;
    // Masked tokens (-inf) and NaN are never candidates.
    if (s.logits[i] > -std::numeric_limits<float>::infinity()) {
      s.order.push_back(static_cast<int32_t>(i));
    }
  }
  const float max = s.logits[best];
  if (s.order.empty() || std::isinf(max)) return best;  // a tiny temperature overflowed
  KeepTopK(s, params.top_k);
  KeepTopP(s, params.top_p, max);
  KeepMinP(s, params.min_p, max);

  double remaining = UniformAt(seed, position) * TotalWeight(s, max);
  for (int32_t i : s.order) {
    remaining -= Weight(s, i, max);
    if (remaining < 0) return i;
  }
  return s.order.back();  // rounding left a crumb
}

}  // namespace oneai::kernels
