#include "models/safetensors/small_floats.h"

#include <cmath>
#include <random>

#include "gtest/gtest.h"

namespace oneai::models {
namespace {

// The compiler's own half is the oracle.
_Float16 AsHalf(uint16_t bits) { return std::bit_cast<_Float16>(bits); }

TEST(SmallFloatsTest, EveryHalfIsDecoded) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float expected = static_cast<float>(AsHalf(static_cast<uint16_t>(bits)));
    const float found = HalfToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(found)) << bits;
    } else {
      ASSERT_EQ(std::bit_cast<uint32_t>(found), std::bit_cast<uint32_t>(expected)) << bits;
      ASSERT_EQ(FloatToHalf(found), bits);
    }
  }
}

TEST(SmallFloatsTest, HalvesRoundToNearestEven) {
  std::mt19937 random(1);
  for (int i = 0; i < 2'000'000; ++i) {
    // Around the range of halves, where all the cases are.
    const uint32_t exponent = 127 - 27 + random() % 46;
    const float value = std::bit_cast<float>(
        static_cast<uint32_t>((random() & 0x80000000u) | exponent << 23 | (random() & 0x7fffff)));
    ASSERT_EQ(FloatToHalf(value), std::bit_cast<uint16_t>(static_cast<_Float16>(value))) << value;
  }
  EXPECT_EQ(FloatToHalf(INFINITY), 0x7c00);
  EXPECT_EQ(FloatToHalf(1e30f), 0x7c00);
  EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(NAN))));
}

TEST(SmallFloatsTest, Bfloat16RoundsToNearestEven) {
  EXPECT_EQ(FloatToBfloat16(1.0f), 0x3f80);
  EXPECT_EQ(FloatToBfloat16(std::bit_cast<float>(0x3f808000u)), 0x3f80);  // tie, even below
  EXPECT_EQ(FloatToBfloat16(std::bit_cast<float>(0x3f818000u)), 0x3f82);  // tie, even above
  EXPECT_EQ(FloatToBfloat16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(FloatToBfloat16(INFINITY), 0x7f80);
  EXPECT_TRUE(std::isnan(Bfloat16ToFloat(FloatToBfloat16(std::bit_cast<float>(0x7f800001u)))));
}

TEST(SmallFloatsTest, EveryFloat8IsDecodedAsTheFormatSays) {
  for (int bits = 0; bits < 256; ++bits) {
    const float found = Float8E4M3ToFloat(static_cast<uint8_t>(bits));
    if ((bits & 127) == 127) {
      ASSERT_TRUE(std::isnan(found));
      continue;
    }
    const int exponent = bits >> 3 & 15, fraction = bits & 7;
    const double magnitude = exponent == 0 ? fraction / 8.0 * std::pow(2.0, -6)
                                           : (1 + fraction / 8.0) * std::pow(2.0, exponent - 7);
    ASSERT_EQ(found, bits & 128 ? -magnitude : magnitude) << bits;
    ASSERT_EQ(FloatToFloat8E4M3(found), bits);
  }
  EXPECT_EQ(Float8E4M3ToFloat(0x7e), 448.f);
  EXPECT_EQ(Float8E5M2ToFloat(0x7b), 57344.f);
}

TEST(SmallFloatsTest, Float8TakesTheNearest) {
  std::mt19937 random(2);
  std::uniform_real_distribution<float> exponents(-11, 9);
  for (int i = 0; i < 200'000; ++i) {
    const float value = std::exp2(exponents(random)) * (random() % 2 ? 1 : -1);
    const float rounded = Float8E4M3ToFloat(FloatToFloat8E4M3(value));
    float best = INFINITY;
    for (int bits = 0; bits < 256; ++bits)
      if ((bits & 127) != 127)
        best = std::min(best, std::fabs(Float8E4M3ToFloat(static_cast<uint8_t>(bits)) - value));
    ASSERT_EQ(std::fabs(rounded - value), best) << value;
  }
  EXPECT_EQ(FloatToFloat8E4M3(1e9f), 0x7e);
  EXPECT_EQ(FloatToFloat8E4M3(-INFINITY), 0xfe);
  EXPECT_EQ(FloatToFloat8E4M3(NAN), 0x7f);
}

}  // namespace
}  // namespace oneai::models
