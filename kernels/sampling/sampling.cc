// A handful of passes over the row (row_passes.h), none of which sorts it. top-k leaves a list of
// candidates, found by the maxima of blocks; without it every token gets its weight. top-p brackets
// the weight at its cut, first by the few blocks that hold large weights and otherwise by sums
// above eight thresholds at a time, which a sample of the row suggests; only what lies in the
// bracket is sorted. The draw walks sums of blocks, then one block. For 152k logits 20 to 75 us on
// one core of Zen 5 (benchmarks/kernels/sampling_bench) where plain loops took 160 to 550.
#include "kernels/sampling/sampling.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "kernels/sampling/exp_nonpositive.h"
#include "kernels/sampling/largest.h"
#include "kernels/sampling/philox.h"
#include "kernels/sampling/row_passes.h"

namespace oneai::kernels {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();
// Beyond this a heap is slower than a selection on a copy.
constexpr int32_t kHeapMax = 4096;
// A list of candidates is shorter than this where the row's sums say so; sorting it is cheap.
constexpr double kCandidatesMax = 2048;
// Tokens with less weight than this beside the best one are looked at only if the others do not
// reach top_p; and only if so few blocks hold any, this is cheaper than looking at all blocks.
constexpr float kLargeWeight = 0x1p-10f;
constexpr int64_t kLargeBlocksMax = 96;

// The k-th largest logit of many: a selection on a copy.
float KthLargest(const float* logits, int64_t vocab, int32_t k, SamplingScratch& s) {
  s.values.clear();
  for (int64_t i = 0; i < vocab; ++i) {
    if (!std::isnan(logits[i])) s.values.push_back(logits[i]);
  }
  if (static_cast<size_t>(k) > s.values.size()) return kLowest;
  std::nth_element(s.values.begin(), s.values.begin() + (k - 1), s.values.end(), std::greater<>());
  return s.values[k - 1];
}

// s.candidates: the ids of logits >= threshold, ascending.
void GatherAtLeast(const float* logits, int64_t vocab, float threshold, SamplingScratch& s) {
  s.candidates.clear();
  for (int64_t begin = 0; begin < vocab; begin += kRowBlock) {
    if (!(s.block_max[begin / kRowBlock] >= threshold)) continue;
    for (int64_t i = begin; i < std::min(begin + kRowBlock, vocab); ++i) {
      if (logits[i] >= threshold) s.candidates.push_back(static_cast<int32_t>(i));
    }
  }
}

// Of s.candidates, whose better tokens weigh `before`: drops (weight 0) those that are not needed
// to reach `target`. The best token of all is needed whatever the target.
void DropBeyond(const float* logits, double before, double target, SamplingScratch& s) {
  s.order.assign(s.candidates.begin(), s.candidates.end());
  std::sort(s.order.begin(), s.order.end(), [logits](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  for (const int32_t i : s.order) {
    const float weight = s.weights[i];
    if (before > 0 && before >= target) s.weights[i] = 0;
    before += weight;
  }
}

// The token at `u` of the candidates' weights that are at least `bound`.
int32_t DrawCandidate(double u, float bound, const SamplingScratch& s) {
  const auto weight = [&](int32_t i) { return s.weights[i] >= bound ? double{s.weights[i]} : 0.0; };
  double total = 0;
  for (const int32_t i : s.candidates) total += weight(i);
  double remaining = u * total;
  int32_t last = -1;
  for (const int32_t i : s.candidates) {
    if (weight(i) == 0) continue;
    last = i;
    remaining -= weight(i);
    if (remaining < 0) break;
  }
  return last;
}

// The token at `u` of the weights that are at least `bound` (above 0), by the sums of their blocks.
int32_t DrawFromRow(int64_t vocab, double u, float bound, const SamplingScratch& s) {
  double total = 0;
  for (const double sum : s.block_sums) total += sum;
  double remaining = u * total;
  for (int64_t begin = 0; begin < vocab; begin += kRowBlock) {
    const double sum = s.block_sums[begin / kRowBlock];
    // A block is entered when the draw ends in it, or may for all that rounding says.
    if (remaining > sum * (1 + 1e-5)) {
      remaining -= sum;
      continue;
    }
    for (int64_t i = begin; i < std::min(begin + kRowBlock, vocab); ++i) {
      if (s.weights[i] < bound) continue;
      remaining -= s.weights[i];
      if (remaining < 0) return static_cast<int32_t>(i);
    }
  }
  // Rounding left a crumb: the last token that has a weight.
  int64_t last = vocab - 1;
  while (last >= 0 && s.weights[last] < bound) --last;
  return static_cast<int32_t>(last);
}

// A stretch of weights: those of at least `high` sum to less than a target, those of at least `low`
// reach it.
struct Bracket {
  float low = 0, high = 2;  // the best token weighs 1
  double above_low = 0, above_high = 0;
};

// Thresholds inside the bracket, descending: by growing factors at first, then by equal ones, then
// by equal differences.
void Divide(const Bracket& b, float* thresholds) {
  static constexpr float kFirst[kNumThresholds] = {0x1p-1f, 0x1p-2f,  0x1p-3f,  0x1p-5f,
                                                   0x1p-8f, 0x1p-12f, 0x1p-20f, 0x1p-40f};
  const bool is_wide = b.high > 4 * b.low;
  const float ratio =
      is_wide && b.low > 0 ? std::pow(b.low / b.high, 1.0f / (kNumThresholds + 1)) : 0.0f;
  float at = b.high;
  for (int t = 0; t < kNumThresholds; ++t) {
    const float share = static_cast<float>(t + 1) / (kNumThresholds + 1);
    at *= ratio;
    thresholds[t] = b.low <= 0 ? b.high * kFirst[t]
                    : is_wide  ? at
                               : b.high - (b.high - b.low) * share;
  }
}

// Makes the bracket the stretch between two of `thresholds`, which descend.
void Narrow(const float* weights, int64_t n, const float* thresholds, double target,
            const RowPasses& passes, Bracket& b) {
  double sums[kNumThresholds];
  passes.sums_above(weights, n, thresholds, sums);
  for (int t = 0; t < kNumThresholds; ++t) {
    if (thresholds[t] <= b.low || thresholds[t] >= b.high) continue;
    if (sums[t] >= target) {
      b.low = thresholds[t], b.above_low = sums[t];
      return;
    }
    b.high = thresholds[t], b.above_high = sums[t];
  }
}

// Narrows the bracket until at most `few` weights can be in it, or it cannot be divided.
void NarrowToFew(const float* weights, int64_t n, double target, double few,
                 const RowPasses& passes, Bracket& b) {
  for (int round = 0; round < 64; ++round) {
    if (b.low > 0 && (b.above_low - b.above_high) / b.low <= few) return;
    float thresholds[kNumThresholds];
    Divide(b, thresholds);
    const Bracket before = b;
    Narrow(weights, n, thresholds, target, passes, b);
    if (b.low == before.low && b.high == before.high) return;
  }
}

// Candidates among large weights alone, by the few blocks that hold any; false: they do not reach
// the target, or are not few.
bool GatherLarge(const float* logits, int64_t vocab, float large_logit, double target,
                 SamplingScratch& s) {
  const int64_t num_blocks = std::count_if(s.block_max.begin(), s.block_max.end(),
                                           [&](float max) { return max >= large_logit; });
  if (num_blocks > kLargeBlocksMax) return false;
  GatherAtLeast(logits, vocab, large_logit, s);
  double sum = 0;
  for (const int32_t i : s.candidates) sum += s.weights[i];
  return sum >= target && static_cast<double>(s.candidates.size()) <= kCandidatesMax;
}

// Where a flat row is cut: as the first vectors of its blocks suggest, then by the whole row.
Bracket FindCut(int64_t vocab, double top_p, double total, const RowPasses& passes,
                SamplingScratch& s) {
  Bracket b = {.above_low = total};
  const int64_t num_blocks = NumRowBlocks(vocab);
  if (num_blocks >= 64) {
    s.values.clear();
    for (int64_t begin = 0; begin < vocab; begin += kRowBlock) {
      const int64_t end = std::min(begin + 16, vocab);
      s.values.insert(s.values.end(), s.weights.begin() + begin, s.weights.begin() + end);
    }
    double sample_total = 0;
    for (const float weight : s.values) sample_total += weight;
    Bracket sample = {.above_low = sample_total};
    NarrowToFew(s.values.data(), static_cast<int64_t>(s.values.size()), top_p * sample_total, 8,
                passes, sample);
    static constexpr float kAround[kNumThresholds] = {1.3f,   1.09f, 1.03f, 1.008f,
                                                      0.992f, 0.97f, 0.91f, 0.7f};
    float thresholds[kNumThresholds];
    for (int t = 0; t < kNumThresholds; ++t) thresholds[t] = sample.low * kAround[t];
    if (sample.low > 0) Narrow(s.weights.data(), vocab, thresholds, top_p * total, passes, b);
  }
  NarrowToFew(s.weights.data(), vocab, top_p * total, kCandidatesMax, passes, b);
  return b;
}

// Resized for GatherBetween, which writes a little beyond.
void GatherBetween(int64_t vocab, float low, float high, const RowPasses& passes,
                   SamplingScratch& s) {
  s.candidates.resize(vocab + kGatherSlack);
  s.candidates.resize(passes.gather_between(s.weights.data(), vocab, low, high, s.candidates.data(),
                                            s.block_sums.data()));
}

// After the weights of all tokens.
int32_t DrawOfAll(const float* logits, int64_t vocab, const SamplingParams& params, double u,
                  float large_logit, const RowPasses& passes, SamplingScratch& s) {
  const float smallest = std::numeric_limits<float>::min();
  const float min_weight = std::max(params.min_p, smallest);
  double total = 0;
  for (const double sum : s.block_sums) total += sum;
  if (params.top_p < 1.0f) {
    const double target = double{params.top_p} * total;
    if (GatherLarge(logits, vocab, large_logit, target, s)) {
      DropBeyond(logits, 0, target, s);
      return DrawCandidate(u, min_weight, s);
    }
    const Bracket cut = FindCut(vocab, params.top_p, total, passes, s);
    if (min_weight < cut.high) {
      GatherBetween(vocab, std::max(cut.low, smallest), cut.high, passes, s);
      DropBeyond(logits, cut.above_high, target, s);
      for (const int32_t i : s.candidates) {
        if (s.weights[i] < min_weight) s.weights[i] = 0;
        s.block_sums[i / kRowBlock] += s.weights[i];
      }
      return DrawFromRow(vocab, u, std::max(cut.low, smallest), s);
    }
  }
  if (params.min_p > 0) GatherBetween(vocab, min_weight, min_weight, passes, s);
  return DrawFromRow(vocab, u, min_weight, s);
}

// Of the tokens that top-k leaves. Nothing is known of the others.
int32_t DrawOfTopK(const float* logits, int64_t vocab, const SamplingParams& params, double u,
                   float max, float threshold, SamplingScratch& s) {
  GatherAtLeast(logits, vocab, threshold, s);
  double total = 0;
  for (const int32_t i : s.candidates) {
    s.weights[i] = static_cast<float>(
        ExpNonPositive((double{logits[i]} - double{max}) / double{params.temperature}));
    total += s.weights[i];
  }
  if (params.top_p < 1.0f) DropBeyond(logits, 0, double{params.top_p} * total, s);
  return DrawCandidate(u, std::max(params.min_p, std::numeric_limits<float>::min()), s);
}

int32_t FirstOf(const float* logits, int64_t vocab, const float* block_max, float max) {
  if (max == kLowest) return 0;
  const float* block = std::find(block_max, block_max + NumRowBlocks(vocab), max);
  const float* from = logits + (block - block_max) * kRowBlock;
  return static_cast<int32_t>(std::find(from, logits + vocab, max) - logits);
}

}  // namespace

int32_t ArgMax(const float* logits, int64_t vocab) {
  constexpr int64_t kBlocks = 64;
  const RowPasses& passes = PickedRowPasses();
  float block_max[kBlocks], max = kLowest;
  int32_t best = 0;
  for (int64_t begin = 0; begin < vocab; begin += kBlocks * kRowBlock) {
    const int64_t n = std::min(kBlocks * kRowBlock, vocab - begin);
    passes.block_max(logits + begin, n, block_max);
    const float part_max = *std::max_element(block_max, block_max + NumRowBlocks(n));
    if (!(part_max > max)) continue;
    max = part_max;
    best = static_cast<int32_t>(begin) + FirstOf(logits + begin, n, block_max, max);
  }
  return best;
}

int32_t SampleToken(const float* logits, int64_t vocab, const SamplingParams& params, uint64_t seed,
                    uint64_t position, SamplingScratch& s) {
  const RowPasses& passes = PickedRowPasses();
  s.block_max.resize(NumRowBlocks(vocab));
  passes.block_max(logits, vocab, s.block_max.data());
  const float max = *std::max_element(s.block_max.begin(), s.block_max.end());
  const int32_t best = FirstOf(logits, vocab, s.block_max.data(), max);
  const float inverse = 1.0f / params.temperature;
  // An infinite logit leaves nothing to draw (and would make every weight 0 or NaN below), and so
  // does a temperature that is nearly 0.
  if (params.temperature <= 0.0f || !std::isfinite(inverse) || !std::isfinite(max)) return best;
  const double u = UniformAt(seed, position);
  s.weights.resize(vocab);
  float threshold = kLowest;
  if (params.top_k > 0 && params.top_k < vocab) {
    if (params.top_k <= kHeapMax) {
      s.order.resize(params.top_k);
      const int64_t count =
          LargestLogits(logits, vocab, params.top_k, s.block_max.data(), s.order.data());
      if (count == params.top_k) {
        const int32_t token =
            DrawOfTopK(logits, vocab, params, u, max, logits[s.order[count - 1]], s);
        return token < 0 ? best : token;
      }
    } else {
      threshold = KthLargest(logits, vocab, params.top_k, s);
    }
  }
  s.block_sums.resize(NumRowBlocks(vocab));
  passes.weights(logits, vocab, max, inverse, threshold, s.weights.data(), s.block_sums.data());
  const float large_logit = std::max(threshold, max + std::log(kLargeWeight) * params.temperature);
  const int32_t token = DrawOfAll(logits, vocab, params, u, large_logit, passes, s);
  return token < 0 ? best : token;
}

}  // namespace oneai::kernels
