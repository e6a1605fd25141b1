#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/moe/expert_rows.h"
#include "kernels/moe/expert_sum.h"
#include "kernels/moe/route.h"
#include "kernels/moe/sigmoid_gate.h"

namespace oneai::kernels {
namespace {

using ::testing::ElementsAre;

struct Routed {
  std::vector<int32_t> experts;
  std::vector<float> weights;
};

Routed RouteAll(const std::vector<float>& logits, int64_t num_experts, int64_t stride, int64_t k,
                bool normalize, int num_threads = 1) {
  const int64_t tokens = static_cast<int64_t>(logits.size()) / stride;
  KernelContext ctx(num_threads);
  Routed routed{std::vector<int32_t>(tokens * k), std::vector<float>(tokens * k)};
  Route({.logits = logits.data(),
         .logits_stride = stride,
         .num_tokens = tokens,
         .num_experts = num_experts,
         .k = k,
         .normalize = normalize,
         .experts = routed.experts.data(),
         .weights = routed.weights.data()},
        ctx);
  return routed;
}

TEST(RouteTest, ChoosesTheLargestAndOfEqualOnesTheFirst) {
  const Routed routed = RouteAll({1, 3, 3, 2, 99}, 4, 5, 3, false);
  EXPECT_THAT(routed.experts, ElementsAre(1, 2, 3));
  const float total = std::exp(-2.0f) + 2 + std::exp(-1.0f);
  EXPECT_FLOAT_EQ(routed.weights[0], 1 / total);
  EXPECT_FLOAT_EQ(routed.weights[2], std::exp(-1.0f) / total);
}

TEST(RouteTest, NormalizedWeightsSumToOne) {
  const Routed routed = RouteAll({1, 3, -3, 2}, 4, 4, 2, true);
  EXPECT_FLOAT_EQ(routed.weights[0] + routed.weights[1], 1);
  EXPECT_FLOAT_EQ(routed.weights[1] / routed.weights[0], std::exp(-1.0f));
}

TEST(RouteTest, TakesAllExpertsAndLargeLogits) {
  const Routed routed = RouteAll({-1e30f, 1e30f}, 2, 2, 2, true);
  EXPECT_THAT(routed.experts, ElementsAre(1, 0));
  EXPECT_THAT(routed.weights, ElementsAre(1, 0));
}

TEST(RouteTest, PutsNanBehindNumbers) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(RouteAll({-5, nan, -7}, 3, 3, 2, false).experts[0], 0);
}

TEST(RouteTest, ThreadsDoNotChangeTheResult) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> logits(100 * 17);
  for (float& x : logits) x = normal(random);
  const Routed one = RouteAll(logits, 17, 17, 5, true, 1),
               three = RouteAll(logits, 17, 17, 5, true, 3);
  EXPECT_EQ(one.experts, three.experts);
  EXPECT_EQ(one.weights, three.weights);
}

TEST(GroupByExpertTest, SortsByExpertThenToken) {
  ExpertRows rows;
  GroupByExpert({3, 0, 0, 1, 3, 1}, {.1f, .2f, .3f, .4f, .5f, .6f}, 2, 5, rows);
  ASSERT_EQ(rows.experts.size(), 3u);
  EXPECT_EQ(rows.experts[0].expert, 0);
  EXPECT_EQ(rows.experts[2].expert, 3);
  EXPECT_EQ(rows.experts[2].begin, 4);
  EXPECT_EQ(rows.rows_max, 2);
  EXPECT_THAT(rows.token, ElementsAre(0, 1, 1, 2, 0, 2));
  EXPECT_THAT(rows.weight, ElementsAre(.2f, .3f, .4f, .6f, .1f, .5f));
  GroupByExpert({}, {}, 2, 5, rows);
  EXPECT_TRUE(rows.experts.empty());
}

TEST(ExpertSumTest, ScatterUndoesGather) {
  KernelContext ctx(2);
  const int64_t dim = 1000, rows = 64;
  std::vector<float> x(rows * dim), gathered(rows * dim), y(rows * dim, 1.0f);
  std::vector<int32_t> token(rows);
  std::vector<float> weight(rows);
  for (int64_t r = 0; r < rows; ++r) {
    token[r] = static_cast<int32_t>((r * 5) % rows);
    weight[r] = 0.5f;
    for (int64_t i = 0; i < dim; ++i) x[r * dim + i] = static_cast<float>(r * 7 + i);
  }
  GatherRows({x.data(), dim, token.data(), gathered.data(), dim, rows, dim}, ctx);
  ScatterAdd({gathered.data(), dim, token.data(), weight.data(), y.data(), dim, rows, dim}, ctx);
  for (int64_t i = 0; i < rows * dim; ++i) ASSERT_EQ(y[i], 1 + 0.5f * x[i]);
}

TEST(ExpertSumTest, AddsTheRowsOfATokenInOrder) {
  const int64_t dim = 700, rows = 96, tokens = 5;
  std::vector<float> x(rows * dim), expected(tokens * dim), weight(rows);
  std::vector<int32_t> token(rows);
  std::mt19937 random(8);
  std::normal_distribution<float> normal;
  for (float& v : x) v = normal(random);
  for (int64_t r = 0; r < rows; ++r) {
    token[r] = static_cast<int32_t>(random() % tokens), weight[r] = normal(random);
    for (int64_t i = 0; i < dim; ++i) expected[token[r] * dim + i] += weight[r] * x[r * dim + i];
  }
  for (const int threads : {1, 3}) {
    KernelContext ctx(threads);
    std::vector<float> y(tokens * dim);
    ScatterAdd({x.data(), dim, token.data(), weight.data(), y.data(), dim, rows, dim}, ctx);
    EXPECT_EQ(y, expected);
  }
}

TEST(ExpertSumTest, ScalesBySigmoid) {
  std::vector<float> x = {2, 4, 6, 8};
  const std::vector<float> gate = {0, 99, 100, 99};
  ScaleBySigmoid(x.data(), 2, gate.data(), 2, 2, 2);
  EXPECT_THAT(x, ElementsAre(1, 2, 6, 8));
}

TEST(SigmoidGateTest, EveryVariantAgreesWithTheReference) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 4);
  const int64_t dim = 77, rows = 5, stride = 80;
  std::vector<float> gate(rows * stride), x(rows * dim);
  for (float& g : gate) g = normal(random);
  for (float& v : x) v = normal(random);
  gate[0] = 200, gate[1] = -200;
  std::vector<float> expected = x;
  SigmoidGateRef({gate.data(), stride, expected.data(), dim, rows, dim}, 0, rows);
  for (const auto& variant : SigmoidGateVariants()) {
    if (!variant.is_supported(GetCpuInfo().features)) continue;
    std::vector<float> y = x;
    variant.fn({gate.data(), stride, y.data(), dim, rows, dim}, 0, rows);
    // The polynomial exp and one division: a few units in the last place.
    for (size_t i = 0; i < y.size(); ++i)
      ASSERT_NEAR(y[i], expected[i], 1e-6f * (1 + std::abs(x[i]))) << variant.name << " " << i;
  }
}

}  // namespace
}  // namespace oneai::kernels
