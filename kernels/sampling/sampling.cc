// A handful of passes over the row, none of which sorts it: weights relative to the best token,
// then every filter sets the weights of what it drops to 0, then the draw walks blocks of weights.
// top-k takes its threshold from a heap, top-p from a histogram of the weights' leading bits, of
// which only the bin that holds the cut is sorted. 0.3 ms for 152k logits where sorting took 10
// (benchmarks/kernels/sampling_bench).
#include "kernels/sampling/sampling.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "kernels/sampling/exp_nonpositive.h"
#include "kernels/sampling/largest.h"
#include "kernels/sampling/philox.h"

namespace oneai::kernels {
namespace {

// Beyond this a heap is slower than a selection on a copy.
constexpr int32_t kHeapMax = 4096;
constexpr int64_t kBlock = 256;  // weights that are summed before the draw looks inside

// weights[i] = exp((logits[i] - max) / temperature) where logits[i] >= threshold; 0 elsewhere, for
// masked (-inf) logits and for NaN. Blocks below the threshold cost a comparison per logit.
void ComputeWeights(const float* logits, int64_t vocab, float max, float temperature,
                    float threshold, float* weights) {
  const double inverse = 1.0 / double{temperature};
  for (int64_t begin = 0; begin < vocab; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, vocab);
    int any = 0;
    for (int64_t i = begin; i < end; ++i) any |= logits[i] >= threshold ? 1 : 0;
    if (any == 0) {
      std::fill(weights + begin, weights + end, 0.0f);
      continue;
    }
    for (int64_t i = begin; i < end; ++i) {
      const float weight =
          static_cast<float>(ExpNonPositive((double{logits[i]} - double{max}) * inverse));
      weights[i] = logits[i] >= threshold ? weight : 0.0f;
    }
  }
}

// The k-th largest logit.
float KthLargest(const float* logits, int64_t vocab, int32_t k, SamplingScratch& s) {
  if (k <= kHeapMax) {
    s.order.resize(k);
    const int64_t count = LargestLogits(logits, vocab, k, s.order.data());
    return count < k ? -std::numeric_limits<float>::infinity() : logits[s.order[k - 1]];
  }
  s.values.clear();
  for (int64_t i = 0; i < vocab; ++i) {
    if (!std::isnan(logits[i])) s.values.push_back(logits[i]);
  }
  if (static_cast<size_t>(k) > s.values.size()) return -std::numeric_limits<float>::infinity();
  std::nth_element(s.values.begin(), s.values.begin() + (k - 1), s.values.end(), std::greater<>());
  return s.values[k - 1];
}

// What top-k asks of a logit.
float TopKThreshold(const float* logits, int64_t vocab, int32_t k, SamplingScratch& s) {
  return k <= 0 || k >= vocab ? -std::numeric_limits<float>::infinity()
                              : KthLargest(logits, vocab, k, s);
}

// A weight's exponent and five bits of its fraction: greater weights have no lesser bin.
constexpr int kBinShift = 18;
constexpr size_t kNumBins = (std::bit_cast<uint32_t>(1.0f) >> kBinShift) + 1;
uint32_t BinOf(float weight) { return std::bit_cast<uint32_t>(weight) >> kBinShift; }

void KeepTopP(const float* logits, int64_t vocab, float top_p, SamplingScratch& s) {
  if (top_p >= 1.0f) return;
  s.bins.assign(kNumBins, 0.0);
  for (int64_t i = 0; i < vocab; ++i) {
    if (s.weights[i] > 0) s.bins[BinOf(s.weights[i])] += s.weights[i];
  }
  double total = 0;
  for (size_t bin = kNumBins; bin-- > 0;) total += s.bins[bin];
  const double target = double{top_p} * total;
  double before = 0;  // weight of the better tokens
  uint32_t cut = kNumBins - 1;
  while (cut > 0 && before + s.bins[cut] < target) before += s.bins[cut--];

  s.order.clear();
  for (int64_t i = 0; i < vocab; ++i) {
    const uint32_t bin = BinOf(s.weights[i]);
    if (bin == cut && s.weights[i] > 0) s.order.push_back(static_cast<int32_t>(i));
    if (bin <= cut) s.weights[i] = bin == cut ? s.weights[i] : 0.0f;
  }
  std::sort(s.order.begin(), s.order.end(), [logits](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  // The best token of all is kept whatever the target.
  for (const int32_t i : s.order) {
    const float weight = s.weights[i];
    if (before > 0 && before >= target) s.weights[i] = 0;
    before += weight;
  }
}

void KeepMinP(int64_t vocab, float min_p, SamplingScratch& s) {
  if (min_p <= 0.0f) return;
  for (int64_t i = 0; i < vocab; ++i) s.weights[i] = s.weights[i] >= min_p ? s.weights[i] : 0.0f;
}

// Sum of one block, over 8 lanes in a fixed order.
double BlockSum(const float* weights, int64_t count) {
  double lane[8] = {};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (int j = 0; j < 8; ++j) lane[j] += weights[i + j];
  }
  for (; i < count; ++i) lane[i % 8] += weights[i];
  double sum = 0;
  for (const double x : lane) sum += x;
  return sum;
}

// The token at `u` of the kept weights, or -1 when there are none.
int32_t Draw(int64_t vocab, double u, SamplingScratch& s) {
  s.block_sums.clear();
  double total = 0;
  for (int64_t begin = 0; begin < vocab; begin += kBlock) {
    s.block_sums.push_back(BlockSum(&s.weights[begin], std::min(kBlock, vocab - begin)));
    total += s.block_sums.back();
  }
  double remaining = u * total;
  int32_t last = -1;
  for (int64_t begin = 0; begin < vocab; begin += kBlock) {
    const double sum = s.block_sums[begin / kBlock];
    if (sum == 0) continue;
    // A block is entered when the draw ends in it, or may for all that rounding says.
    if (remaining > sum * (1 + 1e-12)) {
      remaining -= sum;
      last = static_cast<int32_t>(begin);
      continue;
    }
    for (int64_t i = begin; i < std::min(begin + kBlock, vocab); ++i) {
      if (s.weights[i] == 0) continue;
      last = static_cast<int32_t>(i);
      remaining -= s.weights[i];
      if (remaining < 0) return last;
    }
  }
  // Rounding left a crumb: the last token that has a weight.
  while (last >= 0 && last + 1 < vocab && s.weights[last] == 0) ++last;
  return last;
}

}  // namespace

int32_t ArgMax(const float* logits, int64_t vocab) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  float lane[16];
  std::fill(lane, lane + 16, kLowest);
  int64_t i = 0;
  for (; i + 16 <= vocab; i += 16) {
    for (int j = 0; j < 16; ++j) lane[j] = logits[i + j] > lane[j] ? logits[i + j] : lane[j];
  }
  float max = *std::max_element(lane, lane + 16);
  for (; i < vocab; ++i) max = logits[i] > max ? logits[i] : max;
  if (max == kLowest) return 0;
  return static_cast<int32_t>(std::find(logits, logits + vocab, max) - logits);
}

int32_t SampleToken(const float* logits, int64_t vocab, const SamplingParams& params, uint64_t seed,
                    uint64_t position, SamplingScratch& s) {
  const int32_t best = ArgMax(logits, vocab);
  // An infinite logit leaves nothing to draw (and would make every weight 0 or NaN below).
  if (params.temperature <= 0.0f || !std::isfinite(logits[best])) return best;
  s.weights.resize(vocab);
  ComputeWeights(logits, vocab, logits[best], params.temperature,
                 TopKThreshold(logits, vocab, params.top_k, s), s.weights.data());
  KeepTopP(logits, vocab, params.top_p, s);
  KeepMinP(vocab, params.min_p, s);
  const int32_t token = Draw(vocab, UniformAt(seed, position), s);
  return token < 0 ? best : token;
}

}  // namespace oneai::kernels
