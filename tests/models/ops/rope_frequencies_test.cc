#include "models/ops/rope_frequencies.h"

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

}  // namespace
}  // namespace oneai::models
