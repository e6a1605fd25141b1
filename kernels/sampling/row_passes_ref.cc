// Plain loops in float64: what the passes mean.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/sampling/exp_nonpositive.h"
#include "kernels/sampling/row_passes.h"

namespace oneai::kernels {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();
constexpr double kExponentMin = -87.0;

double Weight(float logit, float max, float inverse) {
  const double x = (double{logit} - double{max}) * double{inverse};
  return x > kExponentMin ? ExpNonPositive(x) : 0.0;
}

void BlockMax(const float* logits, int64_t n, float* block_max) {
  std::fill(block_max, block_max + NumRowBlocks(n), kLowest);
  for (int64_t i = 0; i < n; ++i) {
    float& max = block_max[i / kRowBlock];
    max = logits[i] > max ? logits[i] : max;
  }
}

void Weights(const float* logits, int64_t n, float max, float inverse, float threshold,
             float* weights, double* block_sum) {
  std::fill(block_sum, block_sum + NumRowBlocks(n), 0.0);
  for (int64_t i = 0; i < n; ++i) {
    const double weight = logits[i] >= threshold ? Weight(logits[i], max, inverse) : 0.0;
    weights[i] = static_cast<float>(weight);
    block_sum[i / kRowBlock] += weights[i];
  }
}

void ExpSums(const float* logits, int64_t n, float max, double* block_sum) {
  std::fill(block_sum, block_sum + NumRowBlocks(n), 0.0);
  for (int64_t i = 0; i < n; ++i) block_sum[i / kRowBlock] += Weight(logits[i], max, 1.0f);
}

void SumsAbove(const float* weights, int64_t n, const float* thresholds, double* sums) {
  std::fill(sums, sums + kNumThresholds, 0.0);
  for (int64_t i = 0; i < n; ++i) {
    for (int t = 0; t < kNumThresholds; ++t)
      sums[t] += weights[i] >= thresholds[t] ? weights[i] : 0;
  }
}

int64_t GatherBetween(const float* weights, int64_t n, float low, float high, int32_t* ids,
                      double* block_sum) {
  std::fill(block_sum, block_sum + NumRowBlocks(n), 0.0);
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (weights[i] >= high) block_sum[i / kRowBlock] += weights[i];
    if (weights[i] >= low && !(weights[i] >= high)) ids[count++] = static_cast<int32_t>(i);
  }
  return count;
}

}  // namespace

const RowPasses kRowPassesRef = {BlockMax, Weights, ExpSums, SumsAbove, GatherBetween};

}  // namespace oneai::kernels
