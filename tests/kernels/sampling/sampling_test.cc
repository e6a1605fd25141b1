#include "kernels/sampling/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/sampling/exp_nonpositive.h"
#include "kernels/sampling/largest.h"
#include "kernels/sampling/log_probs.h"
#include "kernels/sampling/philox.h"
#include "kernels/sampling/row_passes.h"
#include "tests/kernels/random_tensor.h"

namespace oneai::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// Known answers of philox4x32-10 published with Random123 (kat_vectors).
TEST(PhiloxTest, GivesThePublishedAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxTest, DrawsAreUniform) {
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    const double u = UniformAt(42, i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 4 * std::sqrt(1.0 / 12 / 10000));
}

TEST(ArgMaxTest, LowestIndexWinsAndNanNever) {
  const float logits[] = {1.0f, NAN, 3.0f, 3.0f, -kInf};
  EXPECT_EQ(ArgMax(logits, 5), 2);
  const float masked[] = {-kInf, -kInf};
  EXPECT_EQ(ArgMax(masked, 2), 0);
}

// Tokens that occur in `draws` draws, with their counts.
std::map<int32_t, int> Histogram(const std::vector<float>& logits, const SamplingParams& params,
                                 int draws) {
  SamplingScratch scratch;
  std::map<int32_t, int> counts;
  for (int i = 0; i < draws; ++i) {
    ++counts[SampleToken(logits.data(), static_cast<int64_t>(logits.size()), params, 7, i,
                         scratch)];
  }
  return counts;
}

std::set<int32_t> Support(const std::vector<float>& logits, const SamplingParams& params) {
  std::set<int32_t> tokens;
  for (const auto& [token, count] : Histogram(logits, params, 3000)) tokens.insert(token);
  return tokens;
}

TEST(SampleTokenTest, FrequenciesFollowTheSoftmaxAtTheTemperature) {
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, -kInf, NAN};
  constexpr int kDraws = 20000;
  for (const float temperature : {0.5f, 1.0f, 2.0f}) {
    const auto counts = Histogram(logits, {.temperature = temperature}, kDraws);
    double total = 0;
    for (int i = 0; i < 3; ++i) total += std::exp(logits[i] / temperature);
    for (int i = 0; i < 3; ++i) {
      const double p = std::exp(logits[i] / temperature) / total;
      EXPECT_NEAR(counts.at(i), p * kDraws, 4 * std::sqrt(p * (1 - p) * kDraws));
    }
    EXPECT_EQ(counts.size(), 3u);
  }
}

TEST(SampleTokenTest, ZeroTemperatureAndTopKOfOneAreGreedy) {
  const std::vector<float> logits = RandomFloats(1000, 3);
  const int32_t best = ArgMax(logits.data(), 1000);
  EXPECT_EQ(Support(logits, {.temperature = 0.0f}), std::set<int32_t>{best});
  EXPECT_EQ(Support(logits, {.top_k = 1}), std::set<int32_t>{best});
  EXPECT_EQ(Support(logits, {.top_p = 1e-9f}), std::set<int32_t>{best});
  EXPECT_EQ(Support(logits, {.min_p = 1.0f}), std::set<int32_t>{best});
  EXPECT_EQ(Support(logits, {.temperature = 1e-42f}), std::set<int32_t>{best});
}

TEST(SampleTokenTest, FiltersKeepWhatTheirDefinitionsSay) {
  // Probabilities 0.5, 0.25, 0.125, 0.0625, 0.0625.
  const std::vector<float> logits = {std::log(0.0625f), std::log(0.5f), std::log(0.125f),
                                     std::log(0.25f), std::log(0.0625f)};
  EXPECT_EQ(Support(logits, {.top_k = 2}), (std::set<int32_t>{1, 3}));
  EXPECT_EQ(Support(logits, {.top_k = 4}), (std::set<int32_t>{0, 1, 2, 3, 4}));  // ties stay
  EXPECT_EQ(Support(logits, {.top_k = 99}), (std::set<int32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(Support(logits, {.top_p = 0.7f}), (std::set<int32_t>{1, 3}));
  EXPECT_EQ(Support(logits, {.top_p = 0.8f}), (std::set<int32_t>{1, 2, 3}));
  EXPECT_EQ(Support(logits, {.min_p = 0.2f}), (std::set<int32_t>{1, 2, 3}));
  // top_p counts the mass that top_k left: 0.5 / 0.75 < 0.7, so the second token is still needed.
  EXPECT_EQ(Support(logits, {.top_k = 2, .top_p = 0.7f}), (std::set<int32_t>{1, 3}));
  EXPECT_EQ(Support(logits, {.top_k = 2, .top_p = 0.6f}), (std::set<int32_t>{1}));
}

// The tokens that the definitions keep, by sorting everything.
std::set<int32_t> KeptByDefinition(const std::vector<float>& logits, const SamplingParams& params) {
  std::vector<int32_t> order;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > -kInf) order.push_back(static_cast<int32_t>(i));
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  const float max = logits[order[0]];
  const auto weight = [&](int32_t i) {
    return std::exp((double{logits[i]} - max) / params.temperature);
  };
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < order.size()) {
    const float threshold = logits[order[params.top_k - 1]];
    std::erase_if(order, [&](int32_t i) { return logits[i] < threshold; });
  }
  double total = 0, before = 0;
  for (const int32_t i : order) total += weight(i);
  std::set<int32_t> kept;
  for (const int32_t i : order) {
    if (kept.empty() || (before < params.top_p * total && weight(i) >= params.min_p)) {
      kept.insert(i);
    }
    before += weight(i);
  }
  return kept;
}

TEST(SampleTokenTest, FiltersOfALargeVocabularyMatchTheirDefinitions) {
  constexpr int64_t kVocab = 5003;
  std::vector<float> logits = RandomFloats(kVocab, 11, 3.0f);
  for (int64_t i = 0; i < kVocab; i += 7) logits[i] = std::round(logits[i]);  // many ties
  logits[100] = NAN;
  logits[200] = -kInf;
  SamplingScratch scratch;
  for (const SamplingParams& params :
       {SamplingParams{.top_k = 40}, SamplingParams{.temperature = 0.7f, .top_p = 0.9f},
        SamplingParams{.temperature = 3.0f, .top_p = 0.3f},
        SamplingParams{.top_k = 500, .top_p = 0.8f, .min_p = 0.01f}, SamplingParams{.min_p = 0.1f},
        SamplingParams{.top_k = 4500, .top_p = 0.999f}, SamplingParams{}}) {
    const std::set<int32_t> kept = KeptByDefinition(logits, params);
    std::set<int32_t> drawn;
    for (uint64_t i = 0; i < 4000; ++i) {
      const int32_t token = SampleToken(logits.data(), kVocab, params, 5, i, scratch);
      EXPECT_TRUE(kept.contains(token)) << token;
      drawn.insert(token);
    }
    // The least likely kept token has its draw, too: compare the whole set where it is small.
    if (kept.size() <= 40) {
      EXPECT_EQ(drawn, kept);
    }
  }
}

TEST(ExpNonPositiveTest, IsWithinItsBound) {
  for (double x = 0; x > -699; x -= 0.0137) {
    const double exact = std::exp(x);
    ASSERT_NEAR(ExpNonPositive(x), exact, exact * 0x1p-50) << x;
  }
  EXPECT_EQ(ExpNonPositive(0), 1.0);
  EXPECT_EQ(ExpNonPositive(-kInf), 0.0);
  EXPECT_EQ(ExpNonPositive(NAN), 0.0);
}

TEST(LargestLogitsTest, MatchesSorting) {
  for (const int64_t vocab : {1, 5, 64, 1000, 4099}) {
    std::vector<float> logits = RandomFloats(vocab, 17);
    for (float& x : logits) x = std::round(4 * x) / 4;  // many ties
    if (vocab > 5) logits[3] = NAN, logits[4] = -kInf;
    std::vector<int32_t> sorted;
    for (int32_t i = 0; i < vocab; ++i) {
      if (logits[i] > -kInf) sorted.push_back(i);
    }
    std::stable_sort(sorted.begin(), sorted.end(),
                     [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
    for (const int64_t k : {int64_t{0}, int64_t{1}, int64_t{20}, vocab, vocab + 3}) {
      std::vector<int32_t> ids(k);
      std::vector<float> block_max(NumRowBlocks(vocab));
      kRowPassesRef.block_max(logits.data(), vocab, block_max.data());
      const int64_t count = LargestLogits(logits.data(), vocab, k, block_max.data(), ids.data());
      ASSERT_EQ(count, std::min<int64_t>(k, static_cast<int64_t>(sorted.size())));
      ids.resize(count);
      EXPECT_EQ(ids, std::vector<int32_t>(sorted.begin(), sorted.begin() + count));
    }
  }
}

TEST(TopLogProbsTest, MatchesLongDouble) {
  const std::vector<float> logits = RandomFloats(20011, 23, 4.0f);
  long double total = 0;
  for (const float x : logits) total += std::exp(static_cast<long double>(x));
  SamplingScratch scratch;
  std::vector<int32_t> ids(5);
  std::vector<float> values(5);
  const double sum = TopLogProbs(logits, 20011, 5, ids.data(), values.data(), scratch);
  EXPECT_NEAR(sum, static_cast<double>(std::log(total)), 2e-6);
  EXPECT_EQ(ids[0], ArgMax(logits.data(), 20011));
  for (int i = 0; i < 5; ++i) {
    EXPECT_NEAR(values[i], static_cast<double>(logits[ids[i]] - std::log(total)), 3e-6) << i;
  }
  // Ids from num_known on count in the sum and are not among the best.
  const double padded = TopLogProbs(logits, ids[0], 1, ids.data(), values.data(), scratch);
  EXPECT_EQ(padded, sum);
  EXPECT_LT(values[0], values[1] + 10);
}

TEST(TopLogProbsTest, MaskedTokensHaveNoProbability) {
  const std::vector<float> logits = {-kInf, 2.0f, NAN, 2.0f};
  SamplingScratch scratch;
  std::vector<int32_t> ids(3);
  std::vector<float> values(3);
  EXPECT_NEAR(TopLogProbs(logits, 4, 3, ids.data(), values.data(), scratch), 2 + std::log(2), 1e-6);
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 3, -1}));
  EXPECT_NEAR(values[1], std::log(0.5), 1e-6);
  EXPECT_EQ(values[2], -kInf);
  const std::vector<float> nothing(3, -kInf);
  EXPECT_EQ(TopLogProbs(nothing, 3, 1, ids.data(), values.data(), scratch), -kInf);
}

TEST(SampleTokenTest, IsAFunctionOfSeedAndPosition) {
  const std::vector<float> logits = RandomFloats(500, 4);
  SamplingScratch fresh, used;
  SampleToken(logits.data(), 300, {.top_p = 0.5f}, 1, 1, used);
  const int32_t token = SampleToken(logits.data(), 500, {}, 9, 3, fresh);
  EXPECT_EQ(SampleToken(logits.data(), 500, {}, 9, 3, used), token);
  std::set<int32_t> other_positions;
  for (uint64_t p = 0; p < 20; ++p) {
    other_positions.insert(SampleToken(logits.data(), 500, {}, 9, p, used));
  }
  EXPECT_GT(other_positions.size(), 10u);
}

TEST(SampleTokenTest, InfiniteAndFullyMaskedRowsStillGiveAToken) {
  SamplingScratch scratch;
  const std::vector<float> certain = {0.0f, kInf, 1.0f};
  EXPECT_EQ(SampleToken(certain.data(), 3, {}, 1, 1, scratch), 1);
  const std::vector<float> masked(3, -kInf);
  EXPECT_EQ(SampleToken(masked.data(), 3, {}, 1, 1, scratch), 0);
}

}  // namespace
}  // namespace oneai::kernels
