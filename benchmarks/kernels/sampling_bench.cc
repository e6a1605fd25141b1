// One row of 152k logits on one thread: what choosing a token and reporting log-probabilities cost.
// The decode step of a 0.6B model takes some 20 ms.
#include <cstdio>
#include <random>
#include <vector>

#include "benchmarks/kernels/stopwatch.h"
#include "kernels/sampling/log_probs.h"
#include "kernels/sampling/sampling.h"

namespace oneai::kernels {
namespace {

constexpr int64_t kVocab = 151936;

void Measure(const char* name, const std::vector<float>& logits, const SamplingParams& params) {
  SamplingScratch scratch;
  uint64_t position = 0;
  const double seconds =
      BestSeconds(30, [&] { SampleToken(logits.data(), kVocab, params, 1, position++, scratch); });
  std::printf("%-28s %8.1f us\n", name, seconds * 1e6);
}

// spread 0.6: a model of random weights, whose top-p keeps most of the vocabulary; 3: a trained one
// that is unsure; 6: one that is sure.
void MeasureAll(float spread) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> logits(kVocab);
  for (float& x : logits) x = normal(random);
  std::printf("logits of standard deviation %g\n", spread);
  Measure("greedy", logits, {.temperature = 0});
  Measure("temperature", logits, {.temperature = 0.8f});
  Measure("top_k 20", logits, {.temperature = 0.8f, .top_k = 20});
  Measure("top_p 0.95", logits, {.temperature = 0.8f, .top_p = 0.95f});
  Measure("top_k 20, top_p, min_p", logits,
          {.temperature = 0.8f, .top_k = 20, .top_p = 0.95f, .min_p = 0.05f});
  std::vector<int32_t> ids(20);
  std::vector<float> values(20);
  SamplingScratch scratch;
  const double seconds =
      BestSeconds(30, [&] { TopLogProbs(logits, kVocab, 20, ids.data(), values.data(), scratch); });
  std::printf("%-28s %8.1f us\n", "log-probabilities, 20 best", seconds * 1e6);
}

int Main() {
  for (const float spread : {0.6f, 3.0f, 6.0f}) MeasureAll(spread);
  return 0;
}

}  // namespace
}  // namespace oneai::kernels

int main() { return oneai::kernels::Main(); }
