#include "kernels/swiglu/swiglu.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/random_tensor.h"

namespace oneai::kernels {
namespace {

TEST(SwigluTest, EveryVariantMatchesTheDefinitionOfAFusedInput) {
  constexpr int64_t kRows = 3;
  for (const int64_t dim : {1, 8, 15, 16, 31, 100}) {
    const std::vector<float> x = RandomFloats(kRows * 2 * dim + 1, 1, 10.0f);
    const int64_t out_stride = dim + 3;
    for (const Variant<SwigluFn>& variant : SwigluVariants()) {
      if (!variant.is_supported(GetCpuInfo().features)) continue;
      std::vector<float> y(kRows * out_stride, 55.0f);
      variant.fn({.gate = x.data() + 1,
                  .up = x.data() + 1 + dim,
                  .in_stride = 2 * dim,
                  .y = y.data(),
                  .out_stride = out_stride,
                  .num_rows = kRows,
                  .dim = dim},
                 0, kRows);
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t i = 0; i < dim; ++i) {
          const double gate = x[1 + r * 2 * dim + i], up = x[1 + r * 2 * dim + dim + i];
          const double exact = gate / (1 + std::exp(-gate)) * up;
          // exp: 2 units in the last place = 4 eps; then an addition, a division, a product.
          ASSERT_NEAR(y[r * out_stride + i], exact, 8 * kFloatEps * std::abs(exact))
              << variant.name << " dim " << dim;
        }
        for (int64_t i = dim; i < out_stride; ++i) ASSERT_EQ(y[r * out_stride + i], 55.0f);
      }
    }
  }
}

TEST(SwigluTest, ExtremeGates) {
  const std::vector<float> gate = {0.0f, -0.0f, 100.0f, -100.0f, 1e30f, -1e30f, NAN, 88.8f};
  const std::vector<float> up(8, 1.0f);
  for (const Variant<SwigluFn>& variant : SwigluVariants()) {
    if (!variant.is_supported(GetCpuInfo().features)) continue;
    std::vector<float> y(8);
    variant.fn({.gate = gate.data(),
                .up = up.data(),
                .in_stride = 8,
                .y = y.data(),
                .out_stride = 8,
                .num_rows = 1,
                .dim = 8},
               0, 1);
    EXPECT_EQ(y[0], 0.0f);
    EXPECT_EQ(y[1], 0.0f);
    EXPECT_EQ(y[2], 100.0f);
    // exp(-gate) overflows: the result is below 100 / FLT_MAX.
    EXPECT_NEAR(y[3], 0.0f, 0x1p-121);
    EXPECT_EQ(y[4], 1e30f);
    EXPECT_EQ(y[5], 0.0f);
    EXPECT_TRUE(std::isnan(y[6]));
    EXPECT_FLOAT_EQ(y[7], 88.8f);
  }
}

TEST(SwigluTest, PublicEntryWorksInPlaceAndOnNothing) {
  KernelContext ctx(3);
  std::vector<float> x = RandomFloats(100 * 200, 2);
  const std::vector<float> original = x;
  SwigluArgs args{.gate = x.data(),
                  .up = x.data() + 100,
                  .in_stride = 200,
                  .y = x.data(),
                  .out_stride = 200,
                  .num_rows = 0,
                  .dim = 100};
  Swiglu(args, ctx);
  EXPECT_EQ(x, original);
  args.num_rows = 100;
  Swiglu(args, ctx);
  const double gate = original[99 * 200], up = original[99 * 200 + 100];
  EXPECT_NEAR(x[99 * 200], gate / (1 + std::exp(-gate)) * up, 1e-6);
  EXPECT_EQ(x[150], original[150]);
}

}  // namespace
}  // namespace oneai::kernels
