// What PackedMatrix keeps of integer weights, and what it refuses.
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/gemm/packed_matrix.h"
#include "tests/kernels/gemm/quantized_weights.h"
#include "tests/testing/status_matchers.h"

namespace oneai::kernels {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;

void ExpectRowsEqual(const PackedMatrix& packed, const TestWeights& w, int64_t first_row) {
  std::vector<float> row(w.k);
  for (int64_t n = 0; n < w.n; ++n) {
    packed.CopyRow(first_row + n, row.data());
    for (int64_t k = 0; k < w.k; ++k) {
      ASSERT_EQ(row[w.InputOf(k)], static_cast<float>(w.At(n, k))) << n << ", " << k;
    }
  }
}

TEST(PackQuantizedTest, KeepsEveryCodeScaleAndOffset) {
  KernelContext ctx(2);
  for (const int bits : {4, 8}) {
    for (const int64_t group : {16, 32, 48, 64, 128, 384}) {
      for (const Grid grid : kGrids) {
        TestWeights w = MakeTestWeights(37, 384, group, bits, grid, 1);
        if (grid == Grid::kHalfZeroPoint) ShuffleColumns(w, 2);
        const QuantizedMatrixView view = w.view();
        ASSERT_OK_AND_ASSIGN(const PackedMatrix packed,
                             PackedMatrix::PackQuantized({&view, 1}, ctx));
        EXPECT_EQ(packed.format(), bits == 4 ? WeightFormat::kInt4 : WeightFormat::kInt8);
        ExpectRowsEqual(packed, w, 0);
      }
    }
  }
}

TEST(PackQuantizedTest, AnyDepthWithOneGroup) {
  KernelContext ctx(2);
  for (const int64_t k : {1, 7, 31, 100}) {
    const TestWeights w = MakeTestWeights(5, k, k, 8, Grid::kFloatNoOffset, 3);
    const QuantizedMatrixView view = w.view();
    ASSERT_OK_AND_ASSIGN(const PackedMatrix packed, PackedMatrix::PackQuantized({&view, 1}, ctx));
    ExpectRowsEqual(packed, w, 0);
  }
}

TEST(PackQuantizedTest, StoresScalesAndOffsetsInTheFewestBytes) {
  KernelContext ctx(1);
  const auto form = [&](Grid grid) {
    const TestWeights w = MakeTestWeights(64, 128, 32, 4, grid, 4);
    const QuantizedMatrixView view = w.view();
    const PackedMatrix packed = *PackedMatrix::PackQuantized({&view, 1}, ctx);
    // 64 outputs: codes and, per group of 32, scales and offsets.
    EXPECT_EQ(
        packed.bytes(),
        64 * 128 / 2 + 4 * 4 * (packed.layout().scale_bytes() + packed.layout().offset_bytes()));
    return std::pair(packed.layout().scale_form, packed.layout().offset_form);
  };
  EXPECT_EQ(form(Grid::kHalfNoOffset), std::pair(ScaleForm::kFloat16, OffsetForm::kNone));
  EXPECT_EQ(form(Grid::kFloatNoOffset), std::pair(ScaleForm::kFloat32, OffsetForm::kNone));
  EXPECT_EQ(form(Grid::kHalfUniformZeroPoint),
            std::pair(ScaleForm::kFloat16, OffsetForm::kUniformZeroPoint));
  EXPECT_EQ(form(Grid::kHalfZeroPoint), std::pair(ScaleForm::kFloat16, OffsetForm::kZeroPoint));
  EXPECT_EQ(form(Grid::kHalfOffset), std::pair(ScaleForm::kFloat16, OffsetForm::kFloat16));
  EXPECT_EQ(form(Grid::kFloatOffset), std::pair(ScaleForm::kFloat32, OffsetForm::kFloat32));
}

TEST(PackQuantizedTest, StacksPartsOfDifferentBitsAndGroups) {
  KernelContext ctx(2);
  const TestWeights a = MakeTestWeights(20, 256, 128, 4, Grid::kHalfZeroPoint, 5);
  const TestWeights b = MakeTestWeights(7, 256, 16, 8, Grid::kFloatNoOffset, 6);
  const TestWeights c = MakeTestWeights(9, 256, 256, 8, Grid::kFloatNoOffset, 7);
  const QuantizedMatrixView parts[] = {a.view(), b.view(), c.view()};
  ASSERT_OK_AND_ASSIGN(const PackedMatrix packed, PackedMatrix::PackQuantized(parts, ctx));
  EXPECT_EQ(packed.format(), WeightFormat::kInt8);
  EXPECT_EQ(packed.layout().group_size, 16);
  ExpectRowsEqual(packed, a, 0);
  ExpectRowsEqual(packed, b, 20);
  ExpectRowsEqual(packed, c, 27);
}

TEST(PackQuantizedTest, RefusesWhatIsNoMatrix) {
  KernelContext ctx(1);
  const TestWeights good = MakeTestWeights(4, 96, 48, 4, Grid::kHalfOffset, 8);
  const auto refused = [&](const TestWeights& w, const char* why) {
    const QuantizedMatrixView view = w.view();
    EXPECT_THAT(PackedMatrix::PackQuantized({&view, 1}, ctx),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)));
  };
  EXPECT_THAT(PackedMatrix::PackQuantized({}, ctx),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no matrix")));
  TestWeights w = good;
  w.bits = 5;
  refused(w, "4 or 8 bits");
  w = good;
  w.group_size = 24;
  refused(w, "multiple of 16");
  w = good;
  w.group_size = 64;
  refused(w, "divides it");
  w = good;
  w.codes[3] = 16;
  refused(w, "outside of [0, 15]");
  w = good;
  w.codes[3] = -1;
  refused(w, "outside of [0, 15]");
  w = good;
  w.scales[2] = std::numeric_limits<float>::quiet_NaN();
  refused(w, "no finite number");
  w = good;
  w.offsets[7] = std::numeric_limits<float>::infinity();
  refused(w, "no finite number");
  w = good;
  ShuffleColumns(w, 9);
  w.column_order[5] = w.column_order[6];
  refused(w, "permutation");
  w.column_order[5] = 96;
  refused(w, "permutation");
  w = good;
  w.k = w.group_size = 100000;
  refused(w, "32-bit sums");

  TestWeights other = good;
  ShuffleColumns(other, 10);
  const QuantizedMatrixView orders[] = {good.view(), other.view()};
  EXPECT_THAT(PackedMatrix::PackQuantized(orders, ctx),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("column order")));
  const TestWeights uneven = MakeTestWeights(4, 96, 32, 4, Grid::kHalfOffset, 11);
  const QuantizedMatrixView groups[] = {good.view(), uneven.view()};
  EXPECT_THAT(PackedMatrix::PackQuantized(groups, ctx),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("pack it by itself")));
}

}  // namespace
}  // namespace oneai::kernels
