// What the tests of the tables do not ask of the AMX variants.
#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/gemm/gemm.h"
#include "tests/kernels/gemm/quantized_weights.h"
#include "tests/kernels/random_tensor.h"
#include "tests/testing/amx_emulator.h"

namespace oneai::kernels {
namespace {

using ::oneai::testing::AmxCountsOfThread;
using ::oneai::testing::AmxIsConfiguredOnThread;
using ::oneai::testing::AmxOp;

constexpr WeightFormat kFormats[] = {WeightFormat::kBFloat16, WeightFormat::kInt8,
                                     WeightFormat::kInt4};

bool IsEmulated() { return GetCpuInfo().vendor == "emulator" && GetCpuInfo().features.amx_bf16; }

PackedMatrix MakeWeights(WeightFormat format, int64_t n, int64_t k, int64_t group,
                         KernelContext& ctx) {
  if (format == WeightFormat::kBFloat16) {
    const std::vector<float> w = RandomFloats(n * k, 1);
    const MatrixView view{w.data(), Dtype::kFloat32, n, k, k};
    return *PackedMatrix::Pack({&view, 1}, Dtype::kBFloat16, ctx);
  }
  const int bits = format == WeightFormat::kInt4 ? 4 : 8;
  const TestWeights w = MakeTestWeights(n, k, group, bits, Grid::kHalfZeroPoint, 2);
  const QuantizedMatrixView view = w.view();
  return *PackedMatrix::PackQuantized({&view, 1}, ctx);
}

class GemmAmxTest : public ::testing::TestWithParam<WeightFormat> {
 protected:
  void SetUp() override {
    if (!GetCpuInfo().features.avx512) GTEST_SKIP() << "the loops around the tiles need AVX-512";
  }
  const Variant<GemmFn>& amx() const { return GemmVariants(GetParam()).back(); }
  std::vector<float> Multiply(const Variant<GemmFn>& variant, const PackedMatrix& w,
                              const std::vector<float>& x, int64_t m) {
    std::vector<float> y(m * w.n());
    GemmWith(variant,
             {.x = x.data(), .x_stride = w.k(), .w = &w, .y = y.data(), .y_stride = w.n(), .m = m},
             ctx_);
    return y;
  }
  KernelContext ctx_{1};
};

TEST_P(GemmAmxTest, IsInTheTablesAndPicked) {
  EXPECT_EQ(amx().isa, CpuIsa::kAmx);
  EXPECT_EQ(&PickVariant(GemmVariants(GetParam()), SupportedIsa()), &amx());
}

// Depths that are cut into chunks, blocks of fewer than four panels, last row groups of any size.
TEST_P(GemmAmxTest, EveryRowCountMeetsEveryTail) {
  for (const int64_t n : {1, 16, 33, 150}) {
    for (const int64_t k : {32, 70, 96, 700}) {
      const PackedMatrix w = MakeWeights(GetParam(), n, k, k, ctx_);
      const std::vector<float> x = RandomFloats(50 * k, 3);
      const std::vector<float> all = Multiply(amx(), w, x, 50);
      const std::vector<float> expected = Multiply(GemmVariants(GetParam()).front(), w, x, 50);
      for (int64_t i = 0; i < 50 * n; ++i) {
        // k terms of magnitude below 4 * 4, each rounded once or twice.
        ASSERT_NEAR(all[i], expected[i], IsInteger(GetParam()) ? 0 : k * k * 16 * kFloatEps);
      }
      for (int64_t m = 1; m <= 33; ++m) {
        const std::vector<float> y = Multiply(amx(), w, x, m);
        ASSERT_EQ(std::memcmp(y.data(), all.data(), y.size() * sizeof(float)), 0)
            << "m " << m << " n " << n << " k " << k;
      }
    }
  }
}

// More rows than the loop holds sums for at once, more bytes of x than a cache holds.
TEST_P(GemmAmxTest, ManyRowsAreTheRowsAlone) {
  constexpr int64_t kM = 600, kN = 72, kK = 1100;
  const PackedMatrix w = MakeWeights(GetParam(), kN, kK, kK, ctx_);
  const std::vector<float> x = RandomFloats(kM * kK, 4);
  const std::vector<float> all = Multiply(amx(), w, x, kM);
  for (const int64_t row : {0, 95, 96, 255, 256, 511, 590, 599}) {
    const std::vector<float> one(x.begin() + row * kK, x.begin() + (row + 1) * kK);
    const std::vector<float> y = Multiply(amx(), w, one, 1);
    ASSERT_EQ(std::memcmp(y.data(), &all[row * kN], kN * sizeof(float)), 0) << "row " << row;
  }
}

// Odd and even numbers of groups in a chunk of depth, groups that two chunks share, several chunks
// of rows that find int4 codes unpacked.
TEST_P(GemmAmxTest, GroupsOfAnySizeGiveTheBitsOfTheReference) {
  if (!IsInteger(GetParam())) GTEST_SKIP() << "no groups";
  struct Shape {
    int64_t k, group;
  };
  for (const Shape s : {Shape{80, 16}, Shape{96, 32}, Shape{416, 32}, Shape{192, 64},
                        Shape{832, 64}, Shape{1344, 448}, Shape{2048, 1024}}) {
    const PackedMatrix w = MakeWeights(GetParam(), 80, s.k, s.group, ctx_);
    const std::vector<float> x = RandomFloats(200 * s.k, 6);
    for (const int64_t m : {1, 20, 200}) {
      const std::vector<float> y = Multiply(amx(), w, x, m);
      const std::vector<float> expected = Multiply(GemmVariants(GetParam()).front(), w, x, m);
      ASSERT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)), 0)
          << "m " << m << " k " << s.k << " groups of " << s.group;
    }
  }
}

TEST_P(GemmAmxTest, ConfiguresAndReleasesItsTilesOncePerTask) {
  if (!IsEmulated()) GTEST_SKIP() << "hardware does not tell";
  const PackedMatrix w = MakeWeights(GetParam(), 400, 320, 64, ctx_);
  const std::vector<float> x = RandomFloats(40 * w.k(), 5);
  constexpr uint64_t kBlocks = 7;
  for (const int64_t m : {1, 16, 40}) {  // 40: the last row tile has fewer rows
    AmxCountsOfThread() = {};
    Multiply(amx(), w, x, m);
    const uint64_t tasks = AmxCountsOfThread()[AmxOp::kTilerelease];
    EXPECT_FALSE(AmxIsConfiguredOnThread());
    EXPECT_LE(tasks, kBlocks);
    EXPECT_EQ(AmxCountsOfThread()[AmxOp::kLdtilecfg], tasks) << "m " << m;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, GemmAmxTest, ::testing::ValuesIn(kFormats),
                         [](const auto& info) { return std::string(FormatName(info.param)); });

}  // namespace
}  // namespace oneai::kernels
