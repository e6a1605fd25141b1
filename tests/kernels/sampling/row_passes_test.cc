// Every variant of the passes against the plain loops, over rows that end anywhere in a block.
#include "kernels/sampling/row_passes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/random_tensor.h"

namespace oneai::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kMax = 6.0f;  // of a row
constexpr double kWeightError = 0x1p-20, kSumError = 0x1p-19;

class RowPassesTest : public ::testing::TestWithParam<Variant<const RowPasses*>> {
 protected:
  void SetUp() override {
    if (!GetParam().is_supported(GetCpuInfo().features)) GTEST_SKIP() << "not on this processor";
  }
  const RowPasses& passes() const { return *GetParam().fn; }
  // From a misaligned address, with what sampling may meet.
  static std::vector<float> Row(int64_t n) {
    std::vector<float> row = RandomFloats(n, 5 + n, 6.0f);
    for (float& x : row) x = std::min(x, kMax);
    if (n > 8) row[2] = NAN, row[5] = -kInf, row[7] = -300.0f;
    return row;
  }
};

const int64_t kLengths[] = {1, 15, 16, 17, 255, 256, 257, 511, 4096, 5003};

void ExpectNear(const std::vector<double>& got, const std::vector<double>& expected, double error) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], expected[i], error * std::abs(expected[i])) << i;
}

TEST_P(RowPassesTest, BlockMaxIsExact) {
  for (const int64_t n : kLengths) {
    const std::vector<float> row = Row(n);
    std::vector<float> got(NumRowBlocks(n)), expected(NumRowBlocks(n));
    passes().block_max(row.data(), n, got.data());
    kRowPassesRef.block_max(row.data(), n, expected.data());
    EXPECT_EQ(got, expected) << n;
  }
  const std::vector<float> none = {NAN, -kInf};
  float max = 0;
  passes().block_max(none.data(), 2, &max);
  EXPECT_EQ(max, -kInf);
}

TEST_P(RowPassesTest, WeightsAndSumsAreWithinTheirBounds) {
  for (const int64_t n : kLengths) {
    const std::vector<float> row = Row(n);
    for (const float threshold : {-kInf, 1.5f}) {
      for (const float inverse : {1.0f, 0.3f, 7.0f}) {
        std::vector<float> got(n + 1, 7.0f), expected(n);
        std::vector<double> got_sum(NumRowBlocks(n)), expected_sum(NumRowBlocks(n));
        passes().weights(row.data(), n, kMax, inverse, threshold, got.data(), got_sum.data());
        kRowPassesRef.weights(row.data(), n, kMax, inverse, threshold, expected.data(),
                              expected_sum.data());
        EXPECT_EQ(got[n], 7.0f) << "beyond the end";
        for (int64_t i = 0; i < n; ++i) {
          // The distance to the maximum is rounded, too, and so is its product.
          const double distance = std::isfinite(row[i]) ? std::abs(row[i] - kMax) * inverse : 0;
          ASSERT_NEAR(got[i], expected[i],
                      (kWeightError + distance * 0x1p-22) * expected[i] + 2e-38)
              << i << " of " << n;
        }
        ExpectNear(got_sum, expected_sum, 1e-5);
      }
    }
    std::vector<double> got_sum(NumRowBlocks(n)), expected_sum(NumRowBlocks(n));
    passes().exp_sums(row.data(), n, kMax, got_sum.data());
    kRowPassesRef.exp_sums(row.data(), n, kMax, expected_sum.data());
    ExpectNear(got_sum, expected_sum, 4 * kSumError);
  }
}

TEST_P(RowPassesTest, ThresholdsPartTheWeights) {
  for (const int64_t n : kLengths) {
    std::vector<float> weights = RandomFloats(n, 3 + n, 1.0f);
    for (float& w : weights) w = std::round(std::abs(w) * 64) / 64;  // ties with thresholds
    const float thresholds[kNumThresholds] = {2, 1, 0.75f, 0.5f, 0.25f, 0.125f, 1e-3f, 0};
    std::vector<double> got(kNumThresholds), expected(kNumThresholds);
    passes().sums_above(weights.data(), n, thresholds, got.data());
    kRowPassesRef.sums_above(weights.data(), n, thresholds, expected.data());
    ExpectNear(got, expected, kSumError);
    for (const auto& [low, high] : {std::pair{0.25f, 0.5f}, {0.5f, 0.5f}, {0.0f, 2.0f}}) {
      std::vector<int32_t> ids(n + kGatherSlack), expected_ids(n + kGatherSlack);
      std::vector<double> sums(NumRowBlocks(n)), expected_sums(NumRowBlocks(n));
      ids.resize(passes().gather_between(weights.data(), n, low, high, ids.data(), sums.data()));
      expected_ids.resize(kRowPassesRef.gather_between(weights.data(), n, low, high,
                                                       expected_ids.data(), expected_sums.data()));
      EXPECT_EQ(ids, expected_ids) << n;
      ExpectNear(sums, expected_sums, kSumError);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, RowPassesTest, ::testing::ValuesIn(RowPassesVariants()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace oneai::kernels
