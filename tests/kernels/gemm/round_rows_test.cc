#include "kernels/gemm/round_rows.h"

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/random_tensor.h"

namespace oneai::kernels {
namespace {

TEST(RoundRowsTest, EveryVariantGivesTheBitsOfTheReference) {
  constexpr int64_t kM = 21, kK = 75, kPadded = 96, kStride = 77;
  std::vector<float> x = RandomFloats(kM * kStride, 1, 1e3f);
  x[0] = std::numeric_limits<float>::infinity();
  x[1] = -std::numeric_limits<float>::quiet_NaN();
  x[2] = 1e-42f;                                      // denormal
  x[3] = std::numeric_limits<float>::max();           // rounds to infinity
  x[4] = std::bit_cast<float>(uint32_t{0x3f808000});  // tie, goes to even
  x[5] = std::bit_cast<float>(uint32_t{0x3f818000});
  x[6] = std::bit_cast<float>(uint32_t{0x7f800001});  // signalling NaN
  std::vector<BFloat16> expected(kM * kPadded), out(kM * kPadded);
  const auto variants = RoundRowsVariants();
  variants.front().fn({x.data(), kStride, kM, kK, kPadded, expected.data()}, 0, kM);
  for (const auto& variant : variants) {
    if (!variant.is_supported(GetCpuInfo().features)) continue;
    std::fill(out.begin(), out.end(), BFloat16{0xffff});
    variant.fn({x.data(), kStride, kM, kK, kPadded, out.data()}, 0, 10);
    variant.fn({x.data(), kStride, kM, kK, kPadded, out.data()}, 10, kM);
    for (size_t i = 0; i < out.size(); ++i) {
      ASSERT_EQ(out[i].bits, expected[i].bits) << variant.name << " at " << i;
    }
  }
}

}  // namespace
}  // namespace oneai::kernels
