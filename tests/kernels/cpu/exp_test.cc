#include <bit>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/cpu_info.h"
#include "tests/kernels/cpu/exp_rows.h"

namespace oneai::kernels {
namespace {

using ExpRow = void (*)(const float*, float*, int64_t);

std::vector<std::pair<const char*, ExpRow>> SupportedRows() {
  std::vector<std::pair<const char*, ExpRow>> rows;
  if (GetCpuInfo().features.avx2) rows.emplace_back("avx2", ExpRowAvx2);
  if (GetCpuInfo().features.avx512) rows.emplace_back("avx512", ExpRowAvx512);
  return rows;
}

double UnitInLastPlace(double y) {
  const int exponent = std::max(std::ilogb(y), -126);
  return std::ldexp(1.0, exponent - 23);
}

TEST(ExpTest, ErrorStaysBelowTwoUnitsInTheLastPlace) {
  constexpr int64_t kCount = 1 << 16;
  std::vector<float> x(kCount), y(kCount);
  for (const auto& [name, exp_row] : SupportedRows()) {
    double worst = 0;
    // Every 509th float of each sign up to the ends of the range: all exponents, many mantissas.
    for (const auto& [sign, end] : {std::pair{0u, 88.7f}, std::pair{0x80000000u, 103.9f}}) {
      uint32_t bits = 0;
      while (bits < std::bit_cast<uint32_t>(end)) {
        for (float& value : x) {
          value = std::bit_cast<float>(std::min(bits, std::bit_cast<uint32_t>(end)) | sign);
          bits += 509;
        }
        exp_row(x.data(), y.data(), kCount);
        for (int64_t i = 0; i < kCount; ++i) {
          const double exact = std::exp(double{x[i]});
          worst = std::max(worst, std::abs(y[i] - exact) / UnitInLastPlace(exact));
        }
      }
    }
    EXPECT_LT(worst, 2.0) << name;
    RecordProperty(std::string("worst_ulp_") + name, std::to_string(worst));
  }
}

TEST(ExpTest, ExtremesGoToTheirLimits) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const auto& [name, exp_row] : SupportedRows()) {
    std::vector<float> x(16, 0.0f), y(16);
    x[1] = -0.0f, x[2] = inf, x[3] = -inf, x[4] = 1e30f, x[5] = -1e30f, x[6] = NAN;
    exp_row(x.data(), y.data(), 16);
    EXPECT_EQ(y[0], 1.0f) << name;
    EXPECT_EQ(y[1], 1.0f) << name;
    EXPECT_EQ(y[2], inf) << name;
    EXPECT_EQ(y[3], 0.0f) << name;
    EXPECT_EQ(y[4], inf) << name;
    EXPECT_EQ(y[5], 0.0f) << name;
    EXPECT_TRUE(std::isnan(y[6])) << name;
  }
}

}  // namespace
}  // namespace oneai::kernels
