#include "models/ops/rope_frequencies.h"

#include <cmath>

#include "gtest/gtest.h"

namespace oneai::models {
namespace {

TEST(RopeFrequenciesTest, PlainAnglesFallGeometrically) {
  const RopeFrequencies rope = ComputeRopeFrequencies({.theta = 10000.0}, 8);
  ASSERT_EQ(rope.inv_freq.size(), 4u);
  EXPECT_FLOAT_EQ(rope.inv_freq[0], 1.0f);
  EXPECT_FLOAT_EQ(rope.inv_freq[1], 0.1f);
  EXPECT_FLOAT_EQ(rope.inv_freq[3], 0.001f);
  EXPECT_EQ(rope.attention_factor, 1.0f);
}

TEST(RopeFrequenciesTest, YarnKeepsFastDimensionsAndSlowsSlowOnes) {
  const RopeConfig plain = {.theta = 1e6};
  RopeConfig yarn = plain;
  yarn.scaling = RopeScaling::kYarn;
  yarn.yarn_factor = 4.0;
  yarn.yarn_original_positions = 32768;
  yarn.yarn_attention_factor = 1.1386;
  const RopeFrequencies a = ComputeRopeFrequencies(plain, 128),
                        b = ComputeRopeFrequencies(yarn, 128);
  EXPECT_EQ(b.inv_freq.front(), a.inv_freq.front());
  EXPECT_FLOAT_EQ(b.inv_freq.back(), a.inv_freq.back() / 4.0f);
  for (size_t i = 1; i < b.inv_freq.size(); ++i) EXPECT_LT(b.inv_freq[i], b.inv_freq[i - 1]);
  EXPECT_FLOAT_EQ(b.attention_factor, 1.1386f);
}

TEST(RopeFrequenciesTest, Llama3KeepsShortWavesAndSlowsLongOnes) {
  RopeConfig llama = {.theta = 500000.0, .scaling = RopeScaling::kLlama3};
  llama.llama3_factor = 8.0;
  llama.llama3_original_positions = 8192;
  const RopeFrequencies plain = ComputeRopeFrequencies({.theta = 500000.0}, 128),
                        scaled = ComputeRopeFrequencies(llama, 128);
  EXPECT_EQ(scaled.inv_freq.front(), plain.inv_freq.front());
  EXPECT_FLOAT_EQ(scaled.inv_freq.back(), plain.inv_freq.back() / 8.0f);
  // Dimension pair 32 of Llama 3.1 has a wavelength between the two bounds, 2048 and 8192:
  // 2 pi sqrt(500000) = 4443, so (8192 / 4443 - 1) / 3 = 0.2813 of it is kept.
  const double kept = (8192.0 / (2.0 * 3.14159265358979 * std::sqrt(500000.0)) - 1.0) / 3.0;
  EXPECT_NEAR(scaled.inv_freq[32], plain.inv_freq[32] * (kept + (1.0 - kept) / 8.0), 1e-9);
}

TEST(RopeFrequenciesTest, NtkGrowsWithThePromptInSteps) {
  EXPECT_EQ(NtkAlpha(1, 32), 1.0);
  EXPECT_EQ(NtkAlpha(32, 32), 1.0);
  EXPECT_EQ(NtkAlpha(33, 32), 3.0);
  EXPECT_EQ(NtkAlpha(64, 32), 3.0);
  EXPECT_EQ(NtkAlpha(65, 32), 7.0);
  const RopeFrequencies plain = ComputeRopeFrequencies({}, 16),
                        slowed = ComputeRopeFrequencies({}, 16, 3.0);
  EXPECT_EQ(slowed.inv_freq[0], plain.inv_freq[0]);
  EXPECT_FLOAT_EQ(slowed.inv_freq[7], plain.inv_freq[7] / 3.0f);  // (alpha^(16/14))^(14/16)
}

TEST(RopeFrequenciesTest, LogNScalesQueriesBeyondTheTrainedLength) {
  EXPECT_EQ(LogNScale(31, 32), 1.0f);
  EXPECT_FLOAT_EQ(LogNScale(1023, 32), 2.0f);
}

}  // namespace
}  // namespace oneai::models
