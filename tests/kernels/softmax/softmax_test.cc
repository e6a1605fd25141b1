#include "kernels/softmax/softmax.h"

#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/random_tensor.h"

namespace oneai::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

double ExactLogSumExp(const float* row, int64_t vocab) {
  double max = -INFINITY, sum = 0;
  for (int64_t i = 0; i < vocab; ++i) max = std::fmax(max, row[i]);
  for (int64_t i = 0; i < vocab; ++i) sum += std::exp(row[i] - max);
  return max + std::log(sum);
}

template <typename Check>
void ForEachVariant(Check check) {
  for (const Variant<LogSumExpFn>& variant : LogSumExpVariants()) {
    if (!variant.is_supported(GetCpuInfo().features)) continue;
    SCOPED_TRACE(std::string(variant.name));
    check(variant.fn);
  }
}

TEST(LogSumExpTest, MatchesDefinitionAtEveryTail) {
  for (const int64_t vocab : {1, 5, 16, 17, 63, 64, 100, 1000, 151936}) {
    const std::vector<float> x = RandomFloats(vocab + 1, 1, 5.0f);
    const double exact = ExactLogSumExp(x.data() + 1, vocab);
    // Relative error of the sum: V/32 additions per lane, the differences (exponents up to 50, each
    // eps relative) and exp itself; its logarithm turns it into an absolute one.
    const double tolerance =
        (static_cast<double>(vocab) / 32 + 50 + 8) * kFloatEps + 4 * kFloatEps * std::abs(exact);
    ForEachVariant([&](LogSumExpFn fn) { EXPECT_NEAR(fn(x.data() + 1, vocab), exact, tolerance); });
  }
}

TEST(LogSumExpTest, InfinitiesNansAndLargeLogits) {
  ForEachVariant([&](LogSumExpFn fn) {
    std::vector<float> x(40, -kInf);
    EXPECT_EQ(fn(x.data(), 40), -kInf);
    x[37] = 3.0f;
    EXPECT_EQ(fn(x.data(), 40), 3.0f);
    x[2] = 1e30f;
    EXPECT_EQ(fn(x.data(), 40), 1e30f);
    x[3] = kInf;
    EXPECT_EQ(fn(x.data(), 40), kInf);
    std::vector<float> with_nan(40, 1.0f);
    with_nan[20] = NAN;
    EXPECT_TRUE(std::isnan(fn(with_nan.data(), 40)));
  });
}

TEST(CrossEntropyTest, IgnoresMarkedRowsAndUsesStrides) {
  constexpr int64_t kRows = 3, kVocab = 50, kStride = 60;
  const std::vector<float> x = RandomFloats(kRows * kStride, 2);
  const int64_t label[] = {7, kIgnoreLabel, 49};
  std::vector<float> loss(kRows), lse(kRows), log_prob(kRows * kVocab);
  KernelContext ctx(2);
  const LogitsView view{x.data(), kStride, kRows, kVocab};
  CrossEntropy(view, label, loss.data(), ctx);
  LogSumExp(view, lse.data(), ctx);
  LogSoftmax(view, log_prob.data(), kVocab, ctx);
  EXPECT_EQ(loss[1], 0.0f);
  for (const int r : {0, 2}) {
    const double exact = ExactLogSumExp(&x[r * kStride], kVocab);
    EXPECT_NEAR(lse[r], exact, 64 * kFloatEps * 4);
    EXPECT_NEAR(loss[r], exact - x[r * kStride + label[r]], 64 * kFloatEps * 4);
    EXPECT_EQ(log_prob[r * kVocab + label[r]], -loss[r]);
  }
}

}  // namespace
}  // namespace oneai::kernels
