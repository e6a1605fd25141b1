// TokenSampler and LogProbsOf against a reference that follows the definitions in float64 with
// whole sorted lists, and the drawn tokens against the distribution they should have.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>

#include "gtest/gtest.h"
#include "kernels/sampling/philox.h"
#include "serving/sampling/token_log_probs.h"
#include "serving/sampling/token_sampler.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// What the settings make of a row of logits, from the definitions.
class Reference {
 public:
  Reference(const SamplingSettings& settings, std::vector<int32_t> prompt,
            std::vector<int32_t> end_ids)
      : s_(settings), prompt_(std::move(prompt)), end_ids_(std::move(end_ids)) {}

  // Probabilities of all ids after everything; `doubtful` is set when a filter's border is so close
  // that float32 may fall on the other side.
  std::vector<double> Distribution(const std::vector<float>& logits,
                                   const std::vector<bool>& allowed, bool& doubtful) const {
    std::vector<double> x(logits.begin(), logits.end());
    for (const auto& [id, bias] : s_.logit_bias) x[id] += bias;
    for (size_t id = 0; id < x.size(); ++id) {
      const double times = static_cast<double>(std::count(output_.begin(), output_.end(), id));
      const bool seen = times > 0 || std::find(prompt_.begin(), prompt_.end(), id) != prompt_.end();
      if (seen) x[id] = x[id] > 0 ? x[id] / s_.repetition_penalty : x[id] * s_.repetition_penalty;
      x[id] -= (times > 0 ? s_.presence_penalty : 0) + s_.frequency_penalty * times;
      if (!allowed[id]) x[id] = -kInf;
    }
    if (static_cast<int64_t>(output_.size()) < s_.min_tokens) {
      for (int32_t id : end_ids_) x[id] = -kInf;
    }
    return Filter(std::move(x), doubtful);
  }
  void Take(int32_t token) { output_.push_back(token); }

 private:
  std::vector<double> Filter(std::vector<double> x, bool& doubtful) const {
    for (double& v : x) v /= s_.temperature;
    std::vector<size_t> order(x.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return x[a] > x[b]; });
    if (s_.top_k > 0 && static_cast<size_t>(s_.top_k) < x.size()) {
      const double threshold = x[order[s_.top_k - 1]];
      doubtful |= x[order[s_.top_k]] > threshold - 1e-4;
      for (double& v : x) v = v < threshold ? -kInf : v;
    }
    std::vector<double> p = Softmax(x);
    if (s_.top_p < 1) {
      double before = 0;
      for (size_t id : order) {
        doubtful |= p[id] > 0 && std::abs(before - s_.top_p) < 1e-5;
        const bool keep = before < s_.top_p;
        before += p[id];
        if (!keep) x[id] = -kInf;
      }
      p = Softmax(x);
    }
    const double best = *std::max_element(p.begin(), p.end());
    for (size_t id = 0; id < x.size(); ++id) {
      doubtful |= p[id] > 0 && std::abs(p[id] - s_.min_p * best) < 1e-6;
      if (p[id] < s_.min_p * best) x[id] = -kInf;
    }
    return Softmax(x);
  }
  static std::vector<double> Softmax(const std::vector<double>& x) {
    const double max = *std::max_element(x.begin(), x.end());
    std::vector<double> p;
    for (double v : x) p.push_back(std::exp(v - max));
    const double total = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& v : p) v /= total;
    return p;
  }

  const SamplingSettings s_;
  const std::vector<int32_t> prompt_, end_ids_;
  std::vector<int32_t> output_;
};

struct Fixture {
  SamplingSettings settings;
  std::vector<int32_t> prompt, end_ids;
  std::vector<float> logits;
  std::vector<bool> allowed;
  std::vector<uint64_t> mask;
};

Fixture RandomFixture(std::mt19937& random) {
  const auto draw = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  Fixture f;
  const int vocab = 2 + static_cast<int>(random() % 150);
  for (int i = 0; i < vocab; ++i) f.logits.push_back(static_cast<float>(draw(-6, 6)));
  f.settings.temperature = draw(0.2, 2);
  if (random() % 2 == 0) f.settings.top_k = 1 + static_cast<int32_t>(random() % 20);
  if (random() % 2 == 0) f.settings.top_p = draw(0.1, 1);
  if (random() % 2 == 0) f.settings.min_p = draw(0, 0.3);
  if (random() % 2 == 0) f.settings.presence_penalty = draw(-2, 2);
  if (random() % 2 == 0) f.settings.frequency_penalty = draw(-2, 2);
  if (random() % 2 == 0) f.settings.repetition_penalty = draw(0.5, 2);
  if (random() % 2 == 0) {
    f.settings.logit_bias = {
        {static_cast<int32_t>(random() % vocab), static_cast<float>(draw(-4, 4))}};
  }
  f.settings.seed = random();
  f.settings.max_tokens = 20;
  for (int i = 0; i < 5; ++i) f.prompt.push_back(static_cast<int32_t>(random() % vocab));
  if (vocab > 10) {
    f.settings.min_tokens = static_cast<int64_t>(random() % 5);
    f.end_ids = {static_cast<int32_t>(random() % vocab)};
  }
  f.allowed.assign(vocab, true);
  if (random() % 2 == 0) {
    f.mask.assign((vocab + 63) / 64, 0);
    for (int i = 0; i < vocab; ++i) {
      f.allowed[i] = random() % 3 != 0 || i < 3;
      if (f.allowed[i]) f.mask[i / 64] |= uint64_t{1} << (i % 64);
    }
  }
  return f;
}

TEST(SamplingOracleTest, TokensAreThoseOfTheDefinitions) {
  std::mt19937 random(1);
  kernels::SamplingScratch scratch;
  int num_compared = 0;
  for (int round = 0; round < 2000; ++round) {
    SCOPED_TRACE(round);
    const Fixture f = RandomFixture(random);
    Reference reference(f.settings, f.prompt, f.end_ids);
    TokenSampler sampler(f.settings, f.prompt, f.end_ids, static_cast<int64_t>(f.logits.size()));
    for (uint64_t i = 0; i < 8; ++i) {
      bool doubtful = false;
      const std::vector<double> p = reference.Distribution(f.logits, f.allowed, doubtful);
      std::vector<float> row = f.logits;
      ASSERT_OK_AND_ASSIGN(const int32_t token,
                           sampler.Sample(absl::MakeSpan(row), scratch, f.mask));
      // The token whose stretch of [0, 1) the draw falls into, in the order of ids.
      double low = 0;
      for (int32_t id = 0; id < token; ++id) low += p[id];
      const double draw = kernels::UniformAt(f.settings.seed, i);
      if (!doubtful) {
        EXPECT_GT(draw, low - 1e-5);
        EXPECT_LT(draw, low + p[token] + 1e-5);
        ++num_compared;
      }
      ASSERT_TRUE(f.allowed[token]);
      reference.Take(token);
    }
  }
  EXPECT_GT(num_compared, 12000);
}

// Pearson's chi-square: with 20 kinds of token and as many draws the statistic stays below 60 in
// all but one of a million cases, and the seeds are fixed.
TEST(SamplingOracleTest, DrawsFollowTheDistribution) {
  std::mt19937 random(2);
  kernels::SamplingScratch scratch;
  constexpr int kVocab = 20, kDraws = 20000;
  std::vector<float> logits;
  for (int i = 0; i < kVocab; ++i) logits.push_back(static_cast<float>(random() % 300) / 100);
  for (double temperature : {0.7, 1.0, 1.5}) {
    SamplingSettings settings;
    settings.temperature = temperature;
    settings.seed = 77;
    settings.max_tokens = kDraws;
    TokenSampler sampler(settings, {}, {}, kVocab);
    std::vector<int> counts(kVocab);
    for (int i = 0; i < kDraws; ++i) {
      std::vector<float> row = logits;
      ASSERT_OK_AND_ASSIGN(const int32_t token, sampler.Sample(absl::MakeSpan(row), scratch));
      ++counts[token];
    }
    bool doubtful = false;
    const std::vector<double> p =
        Reference(settings, {}, {}).Distribution(logits, std::vector<bool>(kVocab, true), doubtful);
    double statistic = 0;
    for (int id = 0; id < kVocab; ++id) {
      const double expected = p[id] * kDraws;
      ASSERT_GT(expected, 5);
      statistic += (counts[id] - expected) * (counts[id] - expected) / expected;
    }
    EXPECT_LT(statistic, 60) << "at temperature " << temperature;
  }
}

// The first token of many seeds, and of the choices of one seed, is as random as the tokens of one.
TEST(SamplingOracleTest, SeedsAndChoicesAreIndependent) {
  kernels::SamplingScratch scratch;
  constexpr int kVocab = 16, kDraws = 16000;
  for (bool by_choice : {false, true}) {
    std::vector<int> counts(kVocab);
    for (int i = 0; i < kDraws; ++i) {
      SamplingSettings settings;
      settings.seed = by_choice ? SeedOfChoice(5, i) : i;
      TokenSampler sampler(settings, {}, {}, kVocab);
      std::vector<float> row(kVocab, 0.0f);
      ASSERT_OK_AND_ASSIGN(const int32_t token, sampler.Sample(absl::MakeSpan(row), scratch));
      ++counts[token];
    }
    double statistic = 0;
    for (int count : counts) statistic += std::pow(count - kDraws / kVocab, 2) / (kDraws / kVocab);
    EXPECT_LT(statistic, 55);
  }
  EXPECT_EQ(SeedOfChoice(5, 0), 5u);
}

TEST(SamplingOracleTest, AGuessWithTheSameLogitsIsTheToken) {
  std::mt19937 random(3);
  kernels::SamplingScratch scratch;
  SamplingSettings settings;
  settings.seed = 9;
  settings.top_p = 0.9;
  TokenSampler sampler(settings, {}, {}, 50);
  for (int i = 0; i < 100; ++i) {
    std::vector<float> row;
    for (int id = 0; id < 50; ++id) row.push_back(static_cast<float>(random() % 100) / 20);
    const int32_t guess = sampler.Guess(row, i, scratch);
    ASSERT_OK_AND_ASSIGN(const int32_t token, sampler.Sample(absl::MakeSpan(row), scratch));
    EXPECT_EQ(guess, token);
  }
}

TEST(SamplingOracleTest, LogProbsAreThoseOfTheRawDistribution) {
  kernels::SamplingScratch scratch;
  std::mt19937 random(4);
  for (int round = 0; round < 200; ++round) {
    const int vocab = 1 + static_cast<int>(random() % 100);
    std::vector<float> logits;
    for (int i = 0; i < vocab; ++i) logits.push_back(static_cast<float>(random() % 40) / 4 - 5);
    const int32_t num_known = 1 + static_cast<int32_t>(random() % vocab);
    const int32_t token = static_cast<int32_t>(random() % vocab);
    const int32_t num_top = static_cast<int32_t>(random() % 8);
    const TokenLogProbs got = LogProbsOf(logits, token, num_top, num_known, scratch);
    long double sum = 0;
    for (float x : logits) sum += std::exp(static_cast<long double>(x));
    const auto expected = [&](int32_t id) {
      return static_cast<double>(logits[id] - std::log(sum));
    };
    EXPECT_NEAR(got.chosen, expected(token), 1e-6);
    std::vector<int32_t> order(num_known);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
    order.resize(std::min(num_top, num_known));
    EXPECT_EQ(got.top_ids, order);
    ASSERT_EQ(got.top_values.size(), order.size());
    for (size_t i = 0; i < order.size(); ++i) {
      EXPECT_NEAR(got.top_values[i], expected(order[i]), 1e-6);
    }
  }
}

}  // namespace
}  // namespace oneai::serving
