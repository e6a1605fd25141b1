#include "kernels/delta_net/gated_norm.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/delta_net/delta_net_case.h"

namespace oneai::kernels {
namespace {

constexpr int64_t kTokens = 3, kHeads = 2, kPad = 5;

TEST(GatedNormTest, MatchesDefinitionWithTailsAndStrides) {
  for (const int64_t dim : {1, 7, 16, 33, 100, 128}) {
    const int64_t width = kHeads * dim, stride = width + kPad;
    const std::vector<float> x = RandomFloats(kTokens * stride + 1, 31),
                             z = RandomFloats(kTokens * stride + 1, 32, 4.0f),
                             weight = RandomFloats(dim + 1, 33);
    ForEachDeltaNetVariant([&](const DeltaNetFns& fns) {
      std::vector<float> y(kTokens * stride + 1, 77.0f);
      const GatedRmsNormArgs args{.x = x.data() + 1,
                                  .x_stride = stride,
                                  .z = z.data() + 1,
                                  .z_stride = stride,
                                  .weight = weight.data() + 1,
                                  .y = y.data() + 1,
                                  .y_stride = stride,
                                  .num_tokens = kTokens,
                                  .num_heads = kHeads,
                                  .dim = dim};
      fns.gated_norm(args, 0, kTokens);
      for (int64_t at = 0; at < kTokens * stride; ++at) {
        const int64_t i = at % stride;
        if (i >= width) {
          ASSERT_EQ(args.y[at], 77.0f);
          continue;
        }
        const float* head = args.x + at - i % dim;
        double sum = 0;
        for (int64_t j = 0; j < dim; ++j) sum += double{head[j]} * head[j];
        const double gate = args.z[at] / (1 + std::exp(-double{args.z[at]}));
        const double exact = args.x[at] / std::sqrt(sum / static_cast<double>(dim) + args.epsilon) *
                             args.weight[i % dim] * gate;
        // As RMSNorm's, plus the gate's: an exponential, an addition, a division, a product.
        const double tolerance =
            (0.5 * static_cast<double>(dim) + 13) * kFloatEps * std::abs(exact) + kFloatMin;
        ASSERT_NEAR(args.y[at], exact, tolerance) << dim << " " << at;
      }
    });
  }
}

TEST(GatedNormTest, PublicEntryIsBatchInvariantAndWorksInPlace) {
  constexpr int64_t kRows = 64, kDim = 160, kWidth = kHeads * kDim;
  const std::vector<float> x = RandomFloats(kRows * kWidth, 34), z = RandomFloats(x.size(), 35),
                           weight = RandomFloats(kDim, 36);
  std::vector<float> all = x, alone = x;
  KernelContext ctx(3);
  auto args = [&](std::vector<float>& y, int64_t row, int64_t count) {
    return GatedRmsNormArgs{.x = &y[row * kWidth],
                            .x_stride = kWidth,
                            .z = &z[row * kWidth],
                            .z_stride = kWidth,
                            .weight = weight.data(),
                            .y = &y[row * kWidth],
                            .y_stride = kWidth,
                            .num_tokens = count,
                            .num_heads = kHeads,
                            .dim = kDim};
  };
  GatedRmsNorm(args(all, 0, kRows), ctx);
  for (int64_t r = 0; r < kRows; ++r) GatedRmsNorm(args(alone, r, 1), ctx);
  EXPECT_EQ(all, alone);
}

}  // namespace
}  // namespace oneai::kernels
