#include "kernels/rmsnorm/rmsnorm.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/random_tensor.h"

namespace oneai::kernels {
namespace {

// Runs `check` for every variant this processor has.
template <typename Check>
void ForEachVariant(Check check) {
  for (const Variant<RmsNormFn>& variant : RmsNormVariants()) {
    if (!variant.is_supported(GetCpuInfo().features)) continue;
    SCOPED_TRACE(std::string(variant.name));
    check(variant.fn);
  }
}

double Exact(const float* x, int64_t dim, float weight, float epsilon, int64_t i) {
  double sum = 0;
  for (int64_t j = 0; j < dim; ++j) sum += double{x[j]} * x[j];
  return x[i] / std::sqrt(sum / static_cast<double>(dim) + epsilon) * weight;
}

// The sum of dim squares is wrong by at most dim eps, the root halves that; then 5 more roundings.
double Tolerance(double exact, int64_t dim) {
  return (0.5 * static_cast<double>(dim) + 6) * kFloatEps * std::abs(exact) + kFloatMin;
}

TEST(RmsNormTest, MatchesDefinitionWithTailsStridesAndMisalignment) {
  constexpr int64_t kRows = 3;
  for (const int64_t dim : {1, 7, 16, 33, 64, 100, 128, 1024}) {
    const int64_t stride = dim + 5;
    const std::vector<float> x = RandomFloats(kRows * stride + 1, 1);
    const std::vector<float> weight = RandomFloats(dim + 1, 2);
    ForEachVariant([&](RmsNormFn fn) {
      std::vector<float> y(kRows * stride + 1, 77.0f);
      const RmsNormArgs args{.x = x.data() + 1,
                             .x_stride = stride,
                             .weight = weight.data() + 1,
                             .y = y.data() + 1,
                             .y_stride = stride,
                             .num_rows = kRows,
                             .dim = dim};
      fn(args, nullptr, nullptr, 0, 0, kRows);
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t i = 0; i < dim; ++i) {
          const double exact = Exact(args.x + r * stride, dim, args.weight[i], args.epsilon, i);
          ASSERT_NEAR(args.y[r * stride + i], exact, Tolerance(exact, dim)) << dim << " " << i;
        }
        for (int64_t i = dim; i < stride; ++i) ASSERT_EQ(args.y[r * stride + i], 77.0f);
      }
    });
  }
}

TEST(RmsNormTest, AddsTheResidualFirst) {
  constexpr int64_t kRows = 2, kDim = 37;
  const std::vector<float> x = RandomFloats(kRows * kDim, 3), delta = RandomFloats(kRows * kDim, 4);
  const std::vector<float> weight = RandomFloats(kDim, 5);
  ForEachVariant([&](RmsNormFn fn) {
    std::vector<float> stream = x, y(kRows * kDim);
    fn({.x = stream.data(),
        .x_stride = kDim,
        .weight = weight.data(),
        .y = y.data(),
        .y_stride = kDim,
        .num_rows = kRows,
        .dim = kDim},
       stream.data(), delta.data(), kDim, 0, kRows);
    for (int64_t i = 0; i < kRows * kDim; ++i) {
      ASSERT_EQ(stream[i], x[i] + delta[i]);
      const float* row = &stream[i / kDim * kDim];
      const double exact = Exact(row, kDim, weight[i % kDim], 1e-6f, i % kDim);
      ASSERT_NEAR(y[i], exact, Tolerance(exact, kDim));
    }
  });
}

TEST(RmsNormTest, ZeroRowsAndExtremeValues) {
  const std::vector<float> weight(20, 1.0f);
  std::vector<float> x(40, 0.0f);
  x[20] = 1e18f;
  ForEachVariant([&](RmsNormFn fn) {
    std::vector<float> y(40, NAN);
    const RmsNormArgs args{.x = x.data(),
                           .x_stride = 20,
                           .weight = weight.data(),
                           .y = y.data(),
                           .y_stride = 20,
                           .num_rows = 2,
                           .dim = 20};
    fn(args, nullptr, nullptr, 0, 0, 0);
    EXPECT_TRUE(std::isnan(y[0]));  // no rows: nothing written
    fn(args, nullptr, nullptr, 0, 0, 2);
    EXPECT_EQ(y[0], 0.0f);
    EXPECT_NEAR(y[20], std::sqrt(20.0), 1e-5);
  });
}

TEST(RmsNormTest, PublicEntryIsBatchInvariant) {
  constexpr int64_t kRows = 64, kDim = 1000;
  const std::vector<float> x = RandomFloats(kRows * kDim, 6), weight = RandomFloats(kDim, 7);
  std::vector<float> all(kRows * kDim), alone(kRows * kDim);
  KernelContext ctx(3);
  RmsNormArgs args{.x = x.data(),
                   .x_stride = kDim,
                   .weight = weight.data(),
                   .y = all.data(),
                   .y_stride = kDim,
                   .num_rows = kRows,
                   .dim = kDim};
  RmsNorm(args, ctx);
  args.num_rows = 1;
  for (int64_t r = 0; r < kRows; ++r) {
    args.x = &x[r * kDim];
    args.y = &alone[r * kDim];
    RmsNorm(args, ctx);
  }
  EXPECT_EQ(std::memcmp(all.data(), alone.data(), all.size() * sizeof(float)), 0);
}

}  // namespace
}  // namespace oneai::kernels
