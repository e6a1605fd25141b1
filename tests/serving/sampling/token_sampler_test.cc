#include "serving/sampling/token_sampler.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

using ::testing::HasSubstr;

SamplingSettings Greedy() {
  SamplingSettings s;
  s.temperature = 0;
  s.max_tokens = 8;
  return s;
}

int32_t Next(TokenSampler& sampler, std::vector<float> logits) {
  kernels::SamplingScratch scratch;
  const absl::StatusOr<int32_t> token = sampler.Sample(absl::MakeSpan(logits), scratch);
  EXPECT_OK(token);
  return token.value_or(-1);
}

TEST(TokenSamplerTest, GreedyTakesTheBest) {
  TokenSampler sampler(Greedy(), {}, {}, 4);
  EXPECT_EQ(Next(sampler, {1, 3, 2, 0}), 1);
}

TEST(TokenSamplerTest, IdsBeyondTheTokenizerAreNeverChosen) {
  TokenSampler sampler(Greedy(), {}, {}, 2);
  EXPECT_EQ(Next(sampler, {1, 3, 9, 9}), 1);
  SamplingSettings warm = Greedy();
  warm.temperature = 1;
  TokenSampler drawn(warm, {}, {}, 2);
  for (int i = 0; i < 50; ++i) EXPECT_LT(Next(drawn, {0, 0, 9, 9}), 2);
}

TEST(TokenSamplerTest, NoEndTokenBeforeMinTokens) {
  SamplingSettings s = Greedy();
  s.min_tokens = 2;
  s.stop_token_ids = {1};
  TokenSampler sampler(s, {}, {2}, 4);
  EXPECT_EQ(Next(sampler, {1, 3, 4, 2}), 3);
  EXPECT_EQ(Next(sampler, {1, 3, 4, 2}), 3);
  EXPECT_EQ(Next(sampler, {1, 3, 4, 2}), 2);
}

TEST(TokenSamplerTest, IgnoreEosKeepsStopTokenIds) {
  SamplingSettings s = Greedy();
  s.ignore_eos = true;
  s.stop_token_ids = {1};
  const TokenSampler sampler(s, {}, {2}, 4);
  EXPECT_TRUE(sampler.IsEnd(1));
  EXPECT_FALSE(sampler.IsEnd(2));
}

TEST(TokenSamplerTest, RepetitionPenaltyCountsThePrompt) {
  SamplingSettings s = Greedy();
  s.repetition_penalty = 2;
  const std::vector<int32_t> prompt = {1, 3};
  TokenSampler sampler(s, prompt, {}, 4);
  EXPECT_EQ(Next(sampler, {2, 3, 1, -1}), 0);  // 3 / 2 < 2
  TokenSampler negative(s, prompt, {}, 4);
  EXPECT_EQ(Next(negative, {-1.5, -9, -9, -1}), 0);  // -1 * 2 < -1.5
}

TEST(TokenSamplerTest, FrequencyPenaltyGrowsWithEveryUse) {
  SamplingSettings s = Greedy();
  s.frequency_penalty = 1;
  TokenSampler sampler(s, {}, {}, 2);
  EXPECT_EQ(Next(sampler, {3.5, 2}), 0);
  EXPECT_EQ(Next(sampler, {3.5, 2}), 0);
  EXPECT_EQ(Next(sampler, {3.5, 2}), 1);
}

TEST(TokenSamplerTest, PresencePenaltyCountsOnce) {
  SamplingSettings s = Greedy();
  s.presence_penalty = 1;
  TokenSampler sampler(s, {}, {}, 2);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Next(sampler, {3.5, 2}), 0);
}

TEST(TokenSamplerTest, SameSeedSameTokens) {
  SamplingSettings s = Greedy();
  s.temperature = 1;
  s.seed = 42;
  const std::vector<float> logits(64, 0.f);
  TokenSampler a(s, {}, {}, 64), b(s, {}, {}, 64);
  s.seed = 43;
  TokenSampler c(s, {}, {}, 64);
  int num_different = 0;
  for (int i = 0; i < 20; ++i) {
    const int32_t token = Next(a, logits);
    EXPECT_EQ(token, Next(b, logits));
    num_different += token != Next(c, logits);
  }
  EXPECT_GT(num_different, 10);
}

TEST(TokenSamplerTest, DamagedLogitsAreAnError) {
  kernels::SamplingScratch scratch;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (double temperature : {0.0, 1.0}) {
    SamplingSettings s = Greedy();
    s.temperature = temperature;
    for (float bad : {nan, std::numeric_limits<float>::infinity()}) {
      TokenSampler sampler(s, {}, {}, 3);
      std::vector<float> logits(3, bad);
      EXPECT_THAT(sampler.Sample(absl::MakeSpan(logits), scratch),
                  testing::StatusIs(absl::StatusCode::kInternal, HasSubstr("no finite logit")));
    }
  }
}

TEST(TokenSamplerTest, BiasComesBeforePenalties) {
  SamplingSettings s = Greedy();
  s.logit_bias = {{0, -5.f}, {2, 1.5f}};
  TokenSampler sampler(s, {}, {}, 3);
  EXPECT_EQ(Next(sampler, {4, 2, 1}), 2);
  EXPECT_EQ(Next(sampler, {9, 2, 1}), 0);
}

TEST(TokenSamplerTest, OnlyAllowedTokensAreChosen) {
  kernels::SamplingScratch scratch;
  TokenSampler sampler(Greedy(), {}, {}, 130);
  std::vector<float> logits(130);
  for (int i = 0; i < 130; ++i) logits[i] = static_cast<float>(i);
  const std::vector<uint64_t> allowed = {~uint64_t{0}, 0b110, 0};
  ASSERT_OK_AND_ASSIGN(const int32_t token,
                       sampler.Sample(absl::MakeSpan(logits), scratch, allowed));
  EXPECT_EQ(token, 66);
}

// Few allowed tokens are drawn from a list of them, many from the row: a mask on either side of the
// bound gives the same distribution over what both allow when the rest has no weight.
TEST(TokenSamplerTest, FewAndManyAllowedTokensAreDrawnAlike) {
  constexpr int kVocab = 8192;
  kernels::SamplingScratch scratch;
  SamplingSettings s;
  s.temperature = 0.8;
  s.top_p = 0.9;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    s.seed = seed;
    std::vector<float> logits(kVocab, -200);
    for (int i = 0; i < kVocab; i += 97) logits[i] = static_cast<float>(i % 13) / 3;
    std::vector<float> again = logits;
    std::vector<uint64_t> few(kVocab / 64), many(kVocab / 64, ~uint64_t{0});
    for (int i = 0; i < kVocab; i += 97) few[i / 64] |= uint64_t{1} << (i % 64);
    TokenSampler of_few(s, {}, {}, kVocab), of_many(s, {}, {}, kVocab);
    ASSERT_OK_AND_ASSIGN(const int32_t a, of_few.Sample(absl::MakeSpan(logits), scratch, few));
    ASSERT_OK_AND_ASSIGN(const int32_t b, of_many.Sample(absl::MakeSpan(again), scratch, many));
    EXPECT_EQ(a, b) << "seed " << seed;
  }
}

TEST(TokenSamplerTest, FewAllowedTokensKeepPenaltiesAndEndBounds) {
  kernels::SamplingScratch scratch;
  SamplingSettings s = Greedy();
  s.min_tokens = 1;
  s.logit_bias = {{70, 3.f}};
  TokenSampler sampler(s, {}, {71}, 130);
  std::vector<float> logits(130, 1);
  logits[71] = 9;
  logits[3] = 8;  // not allowed
  const std::vector<uint64_t> allowed = {0, 0b11000000, 0};
  ASSERT_OK_AND_ASSIGN(int32_t token, sampler.Sample(absl::MakeSpan(logits), scratch, allowed));
  EXPECT_EQ(token, 70);
  EXPECT_EQ(sampler.RawLogit(logits, 70), 1);
  ASSERT_OK_AND_ASSIGN(token, sampler.Sample(absl::MakeSpan(logits), scratch, allowed));
  EXPECT_EQ(token, 71);
  const std::vector<uint64_t> none = {0, 0, 0};
  EXPECT_THAT(sampler.Sample(absl::MakeSpan(logits), scratch, none),
              testing::StatusIs(absl::StatusCode::kInternal, HasSubstr("no finite logit")));
}

TEST(TokenSamplerTest, GrammarThatOnlyAllowsTheEndBeatsMinTokens) {
  kernels::SamplingScratch scratch;
  SamplingSettings s = Greedy();
  s.min_tokens = 5;
  TokenSampler sampler(s, {}, {2}, 4);
  std::vector<float> logits = {4, 3, 2, 1};
  const std::vector<uint64_t> allowed = {0b100};
  ASSERT_OK_AND_ASSIGN(const int32_t token,
                       sampler.Sample(absl::MakeSpan(logits), scratch, allowed));
  EXPECT_EQ(token, 2);
}

TEST(ValidateSamplingTest, TokenIdsMustBeInTheVocabulary) {
  const auto expect = [](auto change, const char* text) {
    SamplingSettings s;
    change(s);
    EXPECT_THAT(ValidateTokenIds(s, 100),
                testing::StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  };
  expect(
      [](SamplingSettings& s) {
        s.logit_bias = {{100, 1.f}};
      },
      "logit_bias names token id 100; the vocabulary of the model has ids 0 to 99");
  expect([](SamplingSettings& s) { s.logit_bias = {{-1, 1.f}}; }, "token id -1");
  expect([](SamplingSettings& s) { s.logit_bias = {{5, 1.f}, {5, 2.f}}; }, "token id 5 twice");
  expect([](SamplingSettings& s) { s.stop_token_ids = {200}; },
         "stop_token_ids names token id 200");
}

TEST(ValidateSamplingTest, NamesTheParameterAndItsRange) {
  const auto expect = [](auto change, const char* text) {
    SamplingSettings s;
    change(s);
    EXPECT_THAT(ValidateSampling(s),
                testing::StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  };
  EXPECT_OK(ValidateSampling(SamplingSettings()));
  expect([](SamplingSettings& s) { s.temperature = -1; }, "temperature is -1");
  expect([](SamplingSettings& s) { s.temperature = std::nan(""); }, "temperature is nan");
  expect([](SamplingSettings& s) { s.top_p = 0; }, "top_p is 0");
  expect([](SamplingSettings& s) { s.top_k = -2; }, "top_k is -2");
  expect([](SamplingSettings& s) { s.min_p = 1.5; }, "min_p is 1.5");
  expect([](SamplingSettings& s) { s.repetition_penalty = 0; }, "repetition_penalty is 0");
  expect([](SamplingSettings& s) { s.presence_penalty = 3; }, "presence_penalty is 3");
  expect([](SamplingSettings& s) { s.max_tokens = 0; }, "max_tokens is 0");
  expect([](SamplingSettings& s) { s.min_tokens = 17; }, "min_tokens is 17");
  expect([](SamplingSettings& s) { s.logprobs = 21; }, "logprobs is 21");
  expect([](SamplingSettings& s) { s.prompt_logprobs = -2; }, "prompt_logprobs is -2");
  expect(
      [](SamplingSettings& s) {
        s.logit_bias = {{3, 101.f}};
      },
      "logit_bias of token id 3 is 101");
  expect([](SamplingSettings& s) { s.logit_bias.resize(1025); }, "logit_bias has 1025 entries");
  expect([](SamplingSettings& s) { s.stop = {""}; }, "a stop string has 0 bytes");
  expect([](SamplingSettings& s) { s.stop.resize(17, "x"); }, "stop has 17 strings");
}

}  // namespace
}  // namespace oneai::serving
