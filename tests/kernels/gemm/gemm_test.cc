#include "kernels/gemm/gemm.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "tests/kernels/random_tensor.h"
#include "tests/testing/status_matchers.h"

namespace oneai::kernels {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;

struct Case {
  Dtype dtype;
  Variant<GemmFn> variant;
};

std::vector<Case> SupportedCases() {
  std::vector<Case> cases;
  for (const Dtype dtype : {Dtype::kBFloat16, Dtype::kFloat32}) {
    for (const Variant<GemmFn>& variant : GemmVariants(dtype)) {
      if (variant.is_supported(GetCpuInfo().features)) cases.push_back({dtype, variant});
    }
  }
  return cases;
}

std::string CaseName(const ::testing::TestParamInfo<Case>& info) {
  return std::string(info.param.dtype == Dtype::kBFloat16 ? "bf16_" : "f32_") +
         std::string(info.param.variant.name);
}

PackedMatrix Pack(const std::vector<float>& w, int64_t n, int64_t k, Dtype dtype,
                  KernelContext& ctx) {
  const MatrixView view{w.data(), Dtype::kFloat32, n, k, k};
  absl::StatusOr<PackedMatrix> packed = PackedMatrix::Pack({&view, 1}, dtype, ctx);
  EXPECT_OK(packed);
  return *std::move(packed);
}

float As(Dtype dtype, float x) { return dtype == Dtype::kFloat32 ? x : ToFloat(ToBFloat16(x)); }

// Expects y = x w^T + bias within the rounding of K + 1 additions in float32:
// |error| <= (K + 2) eps (sum |x w| + |bias|) + K * smallest normal.
void ExpectCorrect(const std::vector<float>& x, int64_t x_stride, const std::vector<float>& w,
                   const float* bias, const float* y, int64_t y_stride, int64_t m, int64_t n,
                   int64_t k, Dtype dtype) {
  for (int64_t r = 0; r < m; ++r) {
    for (int64_t c = 0; c < n; ++c) {
      double sum = bias != nullptr ? bias[c] : 0;
      double magnitude = std::abs(sum);
      for (int64_t i = 0; i < k; ++i) {
        const double term = double{As(dtype, x[r * x_stride + i])} * As(dtype, w[c * k + i]);
        sum += term;
        magnitude += std::abs(term);
      }
      const double tolerance = static_cast<double>(k + 2) * (kFloatEps * magnitude + kFloatMin) +
                               kFloatEps * std::abs(sum);
      ASSERT_NEAR(y[r * y_stride + c], sum, tolerance) << "row " << r << " output " << c;
    }
  }
}

class GemmTest : public ::testing::TestWithParam<Case> {
 protected:
  const Dtype dtype_ = GetParam().dtype;
  KernelContext ctx_{2};
};

TEST_P(GemmTest, MatchesDefinitionAtAwkwardShapes) {
  struct Shape {
    int64_t m, n, k;
  };
  for (const Shape s :
       {Shape{1, 1, 1}, Shape{2, 17, 31}, Shape{5, 16, 32}, Shape{7, 130, 33}, Shape{16, 64, 64},
        Shape{17, 96, 100}, Shape{33, 79, 257}, Shape{200, 33, 65}}) {
    const std::vector<float> x = RandomFloats(s.m * s.k, 1);
    const std::vector<float> w = RandomFloats(s.n * s.k, 2);
    const std::vector<float> bias = RandomFloats(s.n, 3);
    const PackedMatrix packed = Pack(w, s.n, s.k, dtype_, ctx_);
    for (const float* b : {static_cast<const float*>(nullptr), bias.data()}) {
      std::vector<float> y(s.m * s.n, NAN);
      GemmWith(GetParam().variant,
               {.x = x.data(),
                .x_stride = s.k,
                .w = &packed,
                .bias = b,
                .y = y.data(),
                .y_stride = s.n,
                .m = s.m},
               ctx_);
      ExpectCorrect(x, s.k, w, b, y.data(), s.n, s.m, s.n, s.k, dtype_);
    }
  }
}

TEST_P(GemmTest, RowIsBitIdenticalAloneAndInAnyBatch) {
  constexpr int64_t kN = 150, kK = 200, kRows = 70;
  const std::vector<float> x = RandomFloats(kRows * kK, 4);
  const std::vector<float> w = RandomFloats(kN * kK, 5);
  const PackedMatrix packed = Pack(w, kN, kK, dtype_, ctx_);
  std::vector<float> alone(kRows * kN);
  for (int64_t r = 0; r < kRows; ++r) {
    GemmWith(GetParam().variant,
             {.x = &x[r * kK],
              .x_stride = kK,
              .w = &packed,
              .y = &alone[r * kN],
              .y_stride = kN,
              .m = 1},
             ctx_);
  }
  for (const int threads : {1, 2, 5}) {
    KernelContext ctx(threads);
    for (int64_t m = 1; m <= kRows; ++m) {
      const int64_t first = kRows - m;  // rows also change their place
      std::vector<float> y(m * kN, NAN);
      GemmWith(GetParam().variant,
               {.x = &x[first * kK],
                .x_stride = kK,
                .w = &packed,
                .y = y.data(),
                .y_stride = kN,
                .m = m},
               ctx);
      ASSERT_EQ(std::memcmp(y.data(), &alone[first * kN], y.size() * sizeof(float)), 0)
          << "m " << m << " threads " << threads;
    }
  }
}

// Deep enough for several chunks of depth, with every form of row tiles.
TEST_P(GemmTest, RowIsBitIdenticalAcrossChunksOfDepth) {
  constexpr int64_t kN = 80, kK = 1500, kRows = 33;
  const std::vector<float> x = RandomFloats(kRows * kK, 14);
  const PackedMatrix packed = Pack(RandomFloats(kN * kK, 15), kN, kK, dtype_, ctx_);
  const auto multiply = [&](int64_t first, int64_t m) {
    std::vector<float> y(m * kN, NAN);
    GemmWith(
        GetParam().variant,
        {.x = &x[first * kK], .x_stride = kK, .w = &packed, .y = y.data(), .y_stride = kN, .m = m},
        ctx_);
    return y;
  };
  std::vector<float> alone;
  for (int64_t r = 0; r < kRows; ++r) {
    const std::vector<float> y = multiply(r, 1);
    alone.insert(alone.end(), y.begin(), y.end());
  }
  for (const int64_t m : {2, 6, 7, 8, 9, 12, 13, 16, 17, 24, 33}) {
    const std::vector<float> y = multiply(kRows - m, m);
    EXPECT_EQ(std::memcmp(y.data(), &alone[(kRows - m) * kN], y.size() * sizeof(float)), 0) << m;
  }
}

TEST_P(GemmTest, RowChunksOfManyThreadsChangeNothing) {
  constexpr int64_t kN = 20, kK = 64, kM = 500;
  const std::vector<float> x = RandomFloats(kM * kK, 6);
  const PackedMatrix packed = Pack(RandomFloats(kN * kK, 7), kN, kK, dtype_, ctx_);
  std::vector<float> expected(kM * kN), y(kM * kN);
  KernelContext one(1), many(5);
  GemmArgs args{
      .x = x.data(), .x_stride = kK, .w = &packed, .y = expected.data(), .y_stride = kN, .m = kM};
  GemmWith(GetParam().variant, args, one);
  args.y = y.data();
  GemmWith(GetParam().variant, args, many);
  EXPECT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)), 0);
}

TEST_P(GemmTest, HonoursStridesAndMisalignmentAndWritesNothingElse) {
  constexpr int64_t kM = 9, kN = 37, kK = 41, kXStride = 47, kYStride = 43;
  const std::vector<float> x = RandomFloats(kM * kXStride + 1, 8);
  const std::vector<float> w = RandomFloats(kN * kK, 9);
  const PackedMatrix packed = Pack(w, kN, kK, dtype_, ctx_);
  std::vector<float> y(kM * kYStride + 1, 123.0f);
  GemmWith(GetParam().variant,
           {.x = x.data() + 1,
            .x_stride = kXStride,
            .w = &packed,
            .y = y.data() + 1,
            .y_stride = kYStride,
            .m = kM},
           ctx_);
  ExpectCorrect({x.begin() + 1, x.end()}, kXStride, w, nullptr, y.data() + 1, kYStride, kM, kN, kK,
                dtype_);
  EXPECT_EQ(y[0], 123.0f);
  for (int64_t r = 0; r < kM; ++r) {
    for (int64_t c = kN; c < kYStride; ++c) EXPECT_EQ(y[1 + r * kYStride + c], 123.0f);
  }
}

TEST_P(GemmTest, NothingToDoIsANoOp) {
  const PackedMatrix packed = Pack(RandomFloats(64, 10), 2, 32, dtype_, ctx_);
  GemmWith(GetParam().variant, {.w = &packed, .m = 0}, ctx_);
  const MatrixView empty{nullptr, Dtype::kFloat32, 0, 32, 32};
  ASSERT_OK_AND_ASSIGN(const PackedMatrix none, PackedMatrix::Pack({&empty, 1}, dtype_, ctx_));
  const std::vector<float> x(32);
  GemmWith(GetParam().variant, {.x = x.data(), .x_stride = 32, .w = &none, .m = 1}, ctx_);
}

TEST_P(GemmTest, HugeTinyAndNonFiniteValues) {
  constexpr int64_t kN = 16, kK = 32;
  std::vector<float> w(kN * kK, 0.0f);
  std::vector<float> x(3 * kK, 0.0f);
  w[0] = 1.0f;
  x[0] = 1e38f;
  x[kK] = 1e-44f;  // a denormal may be flushed
  x[2 * kK] = std::numeric_limits<float>::infinity();
  const PackedMatrix packed = Pack(w, kN, kK, dtype_, ctx_);
  std::vector<float> y(3 * kN);
  GemmWith(GetParam().variant,
           {.x = x.data(), .x_stride = kK, .w = &packed, .y = y.data(), .y_stride = kN, .m = 3},
           ctx_);
  EXPECT_NEAR(y[0], 1e38f, 1e38 * 0x1p-8);
  EXPECT_NEAR(y[kN], 0.0f, kFloatMin);
  EXPECT_EQ(y[2 * kN], std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(y[2 * kN + 1]));  // inf * 0
}

INSTANTIATE_TEST_SUITE_P(Variants, GemmTest, ::testing::ValuesIn(SupportedCases()), CaseName);

TEST(GemmDispatchTest, PublicEntryAgreesWithTheDefinition) {
  KernelContext ctx(2);
  const std::vector<float> x = RandomFloats(3 * 40, 11), w = RandomFloats(20 * 40, 12);
  const PackedMatrix packed = Pack(w, 20, 40, Dtype::kBFloat16, ctx);
  std::vector<float> y(60);
  Gemm({.x = x.data(), .x_stride = 40, .w = &packed, .y = y.data(), .y_stride = 20, .m = 3}, ctx);
  ExpectCorrect(x, 40, w, nullptr, y.data(), 20, 3, 20, 40, Dtype::kBFloat16);
}

TEST(GemmAllTest, EveryProductHasTheBitsItHasAlone) {
  // Formats, depths and row counts mixed, empty products among them, some with the same input.
  struct Each {
    WeightFormat format;
    int64_t m, n, k, x;
  };
  const Each products[] = {
      {WeightFormat::kInt8, 1, 96, 256, 0},     {WeightFormat::kInt8, 1, 80, 256, 0},
      {WeightFormat::kInt4, 1, 33, 256, 0},     {WeightFormat::kInt4, 1, 64, 256, 0},
      {WeightFormat::kInt4, 0, 64, 128, 7},     {WeightFormat::kBFloat16, 5, 70, 100, 3},
      {WeightFormat::kBFloat16, 5, 16, 100, 3}, {WeightFormat::kFloat32, 3, 17, 64, 1},
      {WeightFormat::kFloat32, 2, 17, 64, 1},   {WeightFormat::kBFloat16, 200, 130, 96, 2},
      {WeightFormat::kInt8, 20, 48, 512, 4},    {WeightFormat::kInt8, 0, 48, 512, 4}};
  const std::vector<float> x = RandomFloats(1 << 16, 21);
  for (const int threads : {1, 2, 5}) {
    KernelContext ctx(threads);
    std::vector<PackedMatrix> weights;
    std::vector<std::vector<float>> together, alone;
    std::vector<GemmArgs> all;
    for (const Each& each : products) {
      const std::vector<float> w = RandomFloats(each.n * each.k, 22 + each.n);
      const MatrixView view = {w.data(), Dtype::kFloat32, each.n, each.k, each.k};
      weights.push_back(*PackedMatrix::Pack({view}, each.format, ctx));
      together.emplace_back(each.m * each.n + 1, 7.0f);
      alone.push_back(together.back());
    }
    for (size_t i = 0; i < weights.size(); ++i) {
      const Each& each = products[i];
      all.push_back({.x = x.data() + each.x,
                     .x_stride = each.k,
                     .w = &weights[i],
                     .y = together[i].data(),
                     .y_stride = each.n,
                     .m = each.m});
      GemmArgs one = all.back();
      one.y = alone[i].data();
      Gemm(one, ctx);
    }
    GemmAll(all, ctx);
    for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(together[i], alone[i]) << i;
    GemmAll({}, ctx);
  }
}

TEST(PackedMatrixTest, StacksPartsAndGivesRowsBack) {
  KernelContext ctx(2);
  const std::vector<float> a = RandomFloats(5 * 35, 13);
  const std::vector<BFloat16> b = ToBFloat16s(RandomFloats(20 * 40, 14));
  const MatrixView parts[] = {{a.data(), Dtype::kFloat32, 5, 35, 35},
                              {b.data(), Dtype::kBFloat16, 20, 35, 40}};
  for (const Dtype dtype : {Dtype::kBFloat16, Dtype::kFloat32}) {
    ASSERT_OK_AND_ASSIGN(const PackedMatrix packed, PackedMatrix::Pack(parts, dtype, ctx));
    EXPECT_EQ(packed.n(), 25);
    EXPECT_EQ(packed.k(), 35);
    std::vector<float> row(35);
    packed.CopyRow(3, row.data());
    for (int i = 0; i < 35; ++i) EXPECT_EQ(row[i], As(dtype, a[3 * 35 + i]));
    packed.CopyRow(24, row.data());
    for (int i = 0; i < 35; ++i) EXPECT_EQ(row[i], ToFloat(b[19 * 40 + i]));
  }
}

TEST(PackedMatrixTest, RefusesWhatIsNoMatrix) {
  KernelContext ctx(1);
  const std::vector<float> data(64);
  const MatrixView narrow{data.data(), Dtype::kFloat32, 2, 8, 7};
  EXPECT_THAT(PackedMatrix::Pack({&narrow, 1}, Dtype::kBFloat16, ctx),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("rows must not overlap")));
  const MatrixView uneven[] = {{data.data(), Dtype::kFloat32, 2, 8, 8},
                               {data.data(), Dtype::kFloat32, 2, 9, 9}};
  EXPECT_THAT(PackedMatrix::Pack(uneven, Dtype::kBFloat16, ctx),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("8 and 9")));
  EXPECT_THAT(PackedMatrix::Pack({}, Dtype::kBFloat16, ctx),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no matrix")));
}

}  // namespace
}  // namespace oneai::kernels
