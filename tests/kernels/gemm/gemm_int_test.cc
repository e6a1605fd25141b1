// Products with integer weights: the reference against float64 within derived bounds, and every
// other variant against the reference, bit for bit.
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/gemm/gemm.h"
#include "tests/kernels/gemm/quantized_weights.h"
#include "tests/kernels/random_tensor.h"

namespace oneai::kernels {
namespace {

PackedMatrix Pack(const TestWeights& w, KernelContext& ctx) {
  const QuantizedMatrixView view = w.view();
  return *PackedMatrix::PackQuantized({&view, 1}, ctx);
}

std::vector<float> Multiply(const Variant<GemmFn>& variant, const std::vector<float>& x, int64_t m,
                            const PackedMatrix& w, const float* bias, KernelContext& ctx) {
  std::vector<float> y(m * w.n(), NAN);
  GemmWith(variant,
           {.x = x.data(),
            .x_stride = w.k(),
            .w = &w,
            .bias = bias,
            .y = y.data(),
            .y_stride = w.n(),
            .m = m},
           ctx);
  return y;
}

const Variant<GemmFn>& Reference() { return GemmVariants(WeightFormat::kInt8).front(); }

// Expects y = x w^T + bias within
//   rounding of x: half a step of absmax / 127 per element, times |w|
//   float32:       G groups of 2 fused operations, 2 roundings before each, 1 for the bias
void ExpectNearDefinition(const std::vector<float>& x, int64_t m, const TestWeights& w,
                          const float* bias, const std::vector<float>& y) {
  const int64_t groups = w.k / w.group_size;
  for (int64_t r = 0; r < m; ++r) {
    for (int64_t n = 0; n < w.n; ++n) {
      double sum = bias != nullptr ? bias[n] : 0, magnitude = std::abs(sum), rounding = 0;
      for (int64_t g = 0; g < groups; ++g) {
        double absmax = 0, weights = 0, offsets = 0, x_sum = 0;
        for (int64_t k = g * w.group_size; k < (g + 1) * w.group_size; ++k) {
          const double value = x[r * w.k + w.InputOf(k)];
          sum += value * w.At(n, k);
          absmax = std::max(absmax, std::abs(value));
          weights += std::abs(w.At(n, k));
          x_sum += std::abs(value);
        }
        const double scale = w.scales[n * groups + g];
        offsets = w.offsets.empty() ? 0.0 : std::abs(w.offsets[n * groups + g]);
        magnitude += (std::abs(scale) * 128 + offsets) * (x_sum + absmax);
        rounding += absmax * (0.5 / 127 * (1 + 1e-5)) * weights;
      }
      const double tolerance = rounding + (4.0 * groups + 4) * kFloatEps * magnitude;
      ASSERT_NEAR(y[r * w.n + n], sum, tolerance) << "row " << r << " output " << n;
    }
  }
}

TEST(GemmIntTest, ReferenceIsNearRealNumbers) {
  KernelContext ctx(2);
  constexpr int64_t kM = 5, kN = 21;
  for (const int bits : {4, 8}) {
    for (const int64_t group : {16, 32, 64, 128, 256}) {
      for (const Grid grid : kGrids) {
        TestWeights w = MakeTestWeights(kN, 256, group, bits, grid, 1);
        if (grid == Grid::kFloatOffset) ShuffleColumns(w, 2);
        const std::vector<float> x = RandomFloats(kM * w.k, 3), bias = RandomFloats(kN, 4);
        const std::vector<float> y = Multiply(Reference(), x, kM, Pack(w, ctx), bias.data(), ctx);
        ExpectNearDefinition(x, kM, w, bias.data(), y);
      }
    }
  }
}

struct Case {
  WeightFormat format;
  Variant<GemmFn> variant;
};

std::vector<Case> SupportedCases() {
  std::vector<Case> cases;
  for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4}) {
    for (const Variant<GemmFn>& variant : GemmVariants(format)) {
      if (variant.is_supported(GetCpuInfo().features)) cases.push_back({format, variant});
    }
  }
  return cases;
}

std::string CaseName(const ::testing::TestParamInfo<Case>& info) {
  return std::string(FormatName(info.param.format)) + "_" + std::string(info.param.variant.name);
}

class GemmIntVariantTest : public ::testing::TestWithParam<Case> {
 protected:
  int bits() const { return GetParam().format == WeightFormat::kInt4 ? 4 : 8; }
  void ExpectBitsOfReference(const TestWeights& w, const std::vector<float>& x, int64_t m,
                             const float* bias) {
    const PackedMatrix packed = Pack(w, ctx_);
    ASSERT_EQ(packed.format(), GetParam().format);
    const std::vector<float> expected = Multiply(Reference(), x, m, packed, bias, ctx_);
    const std::vector<float> y = Multiply(GetParam().variant, x, m, packed, bias, ctx_);
    ASSERT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)), 0)
        << "m " << m << " n " << w.n << " k " << w.k << " group " << w.group_size;
  }
  KernelContext ctx_{2};
};

TEST_P(GemmIntVariantTest, GivesTheBitsOfTheReferenceInEveryForm) {
  for (const int64_t group : {16, 32, 48, 64, 96, 192}) {
    for (const Grid grid : kGrids) {
      TestWeights w = MakeTestWeights(83, 192, group, bits(), grid, 5);
      if (grid == Grid::kHalfOffset) ShuffleColumns(w, 6);
      const std::vector<float> bias = RandomFloats(w.n, 7);
      for (const int64_t m : {1, 7, 18}) {
        ExpectBitsOfReference(w, RandomFloats(m * w.k, 8), m, m % 2 == 0 ? bias.data() : nullptr);
      }
    }
  }
}

TEST_P(GemmIntVariantTest, GivesTheBitsOfTheReferenceAtAwkwardShapes) {
  struct Shape {
    int64_t m, n, k;
  };
  for (const Shape s : {Shape{1, 1, 1}, Shape{2, 17, 31}, Shape{5, 64, 64}, Shape{7, 130, 33},
                        Shape{16, 128, 65}, Shape{33, 35, 600}, Shape{130, 17, 100}}) {
    const TestWeights w = MakeTestWeights(s.n, s.k, s.k, bits(), Grid::kFloatOffset, 9);
    ExpectBitsOfReference(w, RandomFloats(s.m * s.k, 10), s.m, nullptr);
  }
}

TEST_P(GemmIntVariantTest, ExtremesNeitherSaturateNorOverflow) {
  for (const int64_t k : {64, 20480}) {
    for (const int code : {bits() == 4 ? 0 : -128, bits() == 4 ? 15 : 127}) {
      for (const float value : {1.0f, -1.0f}) {
        TestWeights w = MakeTestWeights(17, k, k, bits(), Grid::kHalfNoOffset, 11);
        std::fill(w.codes.begin(), w.codes.end(), static_cast<int8_t>(code));
        std::fill(w.scales.begin(), w.scales.end(), 1.0f);
        const std::vector<float> x(2 * k, value);
        const std::vector<float> y =
            Multiply(GetParam().variant, x, 2, Pack(w, ctx_), nullptr, ctx_);
        for (const float sum : y) {
          EXPECT_NEAR(sum, static_cast<double>(k) * code * value, 1e-6 * k * std::abs(code));
        }
      }
    }
  }
}

// The longest depth, on the fast variants: 65536 * 127 * 255 is just below 2^31.
TEST_P(GemmIntVariantTest, TheLongestDepthFits) {
  if (GetParam().variant.isa == CpuIsa::kReference) GTEST_SKIP() << "sums in int64";
  constexpr int64_t kDepth = PackedMatrix::kIntegerDepthMax;
  TestWeights w = MakeTestWeights(2, kDepth, kDepth, bits(), Grid::kHalfNoOffset, 16);
  std::fill(w.codes.begin(), w.codes.end(), static_cast<int8_t>(bits() == 4 ? 15 : 127));
  std::fill(w.scales.begin(), w.scales.end(), 1.0f);
  const std::vector<float> x(kDepth, 1.0f);
  for (const float sum : Multiply(GetParam().variant, x, 1, Pack(w, ctx_), nullptr, ctx_)) {
    EXPECT_NEAR(sum, static_cast<double>(kDepth) * w.codes[0], 1e-6 * kDepth * w.codes[0]);
  }
}

TEST_P(GemmIntVariantTest, RowIsBitIdenticalAloneAndInAnyBatch) {
  constexpr int64_t kRows = 70;
  TestWeights w = MakeTestWeights(150, 256, 64, bits(), Grid::kHalfOffset, 12);
  const std::vector<float> x = RandomFloats(kRows * w.k, 13);
  const PackedMatrix packed = Pack(w, ctx_);
  std::vector<float> alone;
  for (int64_t r = 0; r < kRows; ++r) {
    const std::vector<float> row(x.begin() + r * w.k, x.begin() + (r + 1) * w.k);
    const std::vector<float> y = Multiply(GetParam().variant, row, 1, packed, nullptr, ctx_);
    alone.insert(alone.end(), y.begin(), y.end());
  }
  for (const int threads : {1, 2, 5}) {
    KernelContext ctx(threads);
    for (int64_t m = 1; m <= kRows; m += m < 18 ? 3 : 13) {
      const int64_t first = kRows - m;  // rows also change their place
      const std::vector<float> rows(x.begin() + first * w.k, x.end());
      const std::vector<float> y = Multiply(GetParam().variant, rows, m, packed, nullptr, ctx);
      ASSERT_EQ(std::memcmp(y.data(), &alone[first * w.n], y.size() * sizeof(float)), 0)
          << "m " << m << " threads " << threads;
    }
  }
}

// Deep enough for several chunks of depth, with every form of row tiles; groups that chunks cut and
// groups that they do not.
TEST_P(GemmIntVariantTest, RowIsBitIdenticalAcrossChunksOfDepth) {
  constexpr int64_t kRows = 33, kDepth = 2304;
  for (const int64_t group_size : {kDepth, int64_t{64}, int64_t{96}}) {
    TestWeights w = MakeTestWeights(80, kDepth, group_size, bits(), Grid::kHalfOffset, 16);
    const std::vector<float> x = RandomFloats(kRows * w.k, 17);
    const PackedMatrix packed = Pack(w, ctx_);
    std::vector<float> alone;
    for (int64_t r = 0; r < kRows; ++r) {
      const std::vector<float> row(x.begin() + r * w.k, x.begin() + (r + 1) * w.k);
      const std::vector<float> y = Multiply(GetParam().variant, row, 1, packed, nullptr, ctx_);
      alone.insert(alone.end(), y.begin(), y.end());
    }
    for (const int64_t m : {2, 6, 7, 8, 9, 12, 13, 16, 17, 24, 33}) {
      const std::vector<float> rows(x.end() - m * w.k, x.end());
      const std::vector<float> y = Multiply(GetParam().variant, rows, m, packed, nullptr, ctx_);
      EXPECT_EQ(std::memcmp(y.data(), &alone[(kRows - m) * w.n], y.size() * sizeof(float)), 0)
          << "m " << m << " groups of " << group_size;
    }
  }
}

TEST_P(GemmIntVariantTest, NonFiniteInputsMakeTheirRowNanAndTinyOnesZero) {
  TestWeights w = MakeTestWeights(20, 128, 128, bits(), Grid::kHalfOffset, 14);
  std::vector<float> x = RandomFloats(5 * w.k, 15);
  x[3] = std::numeric_limits<float>::infinity();
  x[w.k + 100] = -std::numeric_limits<float>::quiet_NaN();
  std::fill(x.begin() + 2 * w.k, x.begin() + 3 * w.k, 1e-42f);
  std::fill(x.begin() + 3 * w.k, x.begin() + 4 * w.k, 1e30f);
  const std::vector<float> y = Multiply(GetParam().variant, x, 5, Pack(w, ctx_), nullptr, ctx_);
  for (int64_t n = 0; n < w.n; ++n) {
    EXPECT_TRUE(std::isnan(y[n]));
    EXPECT_TRUE(std::isnan(y[w.n + n]));
    EXPECT_EQ(y[2 * w.n + n], 0.0f);
    EXPECT_TRUE(std::isfinite(y[3 * w.n + n]));
    EXPECT_TRUE(std::isfinite(y[4 * w.n + n]));
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, GemmIntVariantTest, ::testing::ValuesIn(SupportedCases()),
                         CaseName);

}  // namespace
}  // namespace oneai::kernels
