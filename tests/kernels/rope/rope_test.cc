#include "kernels/rope/rope.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/random_tensor.h"

namespace oneai::kernels {
namespace {

TEST(RopeTest, CosSinFollowTheFloat32Angle) {
  const int32_t positions[] = {0, 1, 30000};
  const float inv_freq[] = {1.0f, 0.1f, 1e-4f};
  std::vector<float> cos(9), sin(9);
  RopeCosSin(positions, 3, inv_freq, 6, 1.25f, cos.data(), sin.data());
  for (int t = 0; t < 3; ++t) {
    for (int i = 0; i < 3; ++i) {
      const float angle = static_cast<float>(positions[t]) * inv_freq[i];
      EXPECT_NEAR(cos[t * 3 + i], 1.25 * std::cos(double{angle}), 1.25 * 3 * kFloatEps);
      EXPECT_NEAR(sin[t * 3 + i], 1.25 * std::sin(double{angle}), 1.25 * 3 * kFloatEps);
    }
  }
}

TEST(RopeTest, EveryVariantMatchesTheDefinitionAndLeavesTheRestAlone) {
  constexpr int64_t kTokens = 3, kHeads = 2;
  for (const int64_t rotary_dim : {2, 6, 32, 64, 90, 128}) {
    const int64_t half = rotary_dim / 2, head_stride = rotary_dim + 7;
    const int64_t token_stride = kHeads * head_stride + 3;
    const std::vector<float> x = RandomFloats(kTokens * token_stride + 1, 1);
    std::vector<float> cos = RandomFloats(kTokens * half, 2), sin = RandomFloats(kTokens * half, 3);
    for (const Variant<RopeFn>& variant : RopeVariants()) {
      if (!variant.is_supported(GetCpuInfo().features)) continue;
      std::vector<float> rotated = x;
      variant.fn({.x = rotated.data() + 1,
                  .token_stride = token_stride,
                  .head_stride = head_stride,
                  .num_tokens = kTokens,
                  .num_heads = kHeads,
                  .rotary_dim = rotary_dim,
                  .cos = cos.data(),
                  .sin = sin.data()},
                 0, kTokens);
      std::vector<double> expected(x.begin(), x.end());
      std::vector<double> tolerance(x.size(), 0.0);
      for (int64_t t = 0; t < kTokens; ++t) {
        for (int64_t h = 0; h < kHeads; ++h) {
          for (int64_t i = 0; i < half; ++i) {
            const int64_t a = 1 + t * token_stride + h * head_stride + i, b = a + half;
            const double c = cos[t * half + i], s = sin[t * half + i];
            expected[a] = x[a] * c - x[b] * s;
            expected[b] = x[b] * c + x[a] * s;
            tolerance[a] = 2 * kFloatEps * (std::abs(x[a] * c) + std::abs(x[b] * s));
            tolerance[b] = 2 * kFloatEps * (std::abs(x[b] * c) + std::abs(x[a] * s));
          }
        }
      }
      for (size_t i = 0; i < x.size(); ++i) {
        ASSERT_NEAR(rotated[i], expected[i], tolerance[i] + 2 * kFloatEps * std::abs(expected[i]))
            << variant.name << " dim " << rotary_dim << " at " << i;
      }
    }
  }
}

TEST(RopeTest, NoTokensIsANoOp) {
  KernelContext ctx(2);
  Rope({.num_tokens = 0, .num_heads = 4, .rotary_dim = 64}, ctx);
}

}  // namespace
}  // namespace oneai::kernels
