// Choosing the next token from a row of logits.
#pragma once

#include <cstdint>
#include <vector>

namespace oneai::kernels {

// temperature 0: greedy, the rest is ignored. Filters in the order of Hugging Face's generate():
// temperature, top_k, top_p, min_p.
struct SamplingParams {
  float temperature = 1.0f;  // >= 0
  int32_t top_k = 0;         // 0: off. Keeps every logit >= the k-th largest (ties stay)
  float top_p = 1.0f;  // (0, 1]. Keeps the fewest best tokens that reach this much probability
  float min_p = 0.0f;  // [0, 1]. Keeps tokens with p >= min_p * the largest p
};

// Index of the largest logit, the lowest one on ties; NaN is never chosen. vocab >= 1.
int32_t ArgMax(const float* logits, int64_t vocab);

// Reused between calls so that sampling stops allocating; one per thread.
struct SamplingScratch {
  std::vector<float> weights;
  std::vector<float> values;
  std::vector<float> block_max;
  std::vector<double> block_sums;
  std::vector<int32_t> candidates;
  std::vector<int32_t> order;
};

// Draws a token. The draw is UniformAt(seed, position) put through the inverse distribution of the
// kept tokens in order of their index: a pure function of its arguments, whatever else is in the
// batch.
int32_t SampleToken(const float* logits, int64_t vocab, const SamplingParams& params, uint64_t seed,
                    uint64_t position, SamplingScratch& scratch);

}  // namespace oneai::kernels
