#include "model_platform/train/flat_adamw.h"

#include <cmath>
#include <limits>
#include <vector>

#include "gmock/gmock.h"

namespace oneai::platform {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

// Parameters without a model around them.
models::TorchWeights Parameters(std::vector<torch::Tensor> tensors) {
  models::TorchWeights weights;
  for (size_t i = 0; i < tensors.size(); ++i) {
    weights.parameters.push_back({"p" + std::to_string(i), tensors[i].requires_grad_(true)});
  }
  return weights;
}

std::vector<double> ToVector(const torch::Tensor& tensor) {
  const torch::Tensor flat = tensor.detach().to(torch::kFloat64).reshape({-1}).contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

// Known answers computed with torch.optim.AdamW.
TEST(FlatAdamWTest, TwoStepsOfTheKnownAnswer) {
  models::TorchWeights weights = Parameters({torch::tensor({{1.0f, -2.0f, 0.5f}})});
  FlatAdamW adamw(weights, {0.9, 0.95, 1e-8, 0.1});
  adamw.grads().copy_(torch::tensor({0.1f, -0.2f, 0.3f}));
  adamw.Step(0.01);
  EXPECT_THAT(ToVector(weights.parameters[0].tensor),
              ElementsAre(DoubleNear(0.9890000009999999, 2e-7), DoubleNear(-1.9880000005, 2e-7),
                          DoubleNear(0.4895000003333333, 2e-7)));
  adamw.grads().copy_(torch::tensor({0.2f, -0.4f, 0.6f}));
  adamw.Step(0.01);
  EXPECT_THAT(
      ToVector(weights.parameters[0].tensor),
      ElementsAre(DoubleNear(0.9784311429058733, 4e-7), DoubleNear(-1.9764321421057356, 4e-7),
                  DoubleNear(0.47943064183902284, 4e-7)));
}

TEST(FlatAdamWTest, NormsAndBiasesDoNotDecay) {
  models::TorchWeights weights = Parameters({torch::ones({2}), torch::ones({2, 2})});
  FlatAdamW adamw(weights, {0.9, 0.95, 1e-8, 0.5});
  adamw.ZeroGrads();
  adamw.Step(0.1);  // with no gradient only decay moves anything
  EXPECT_THAT(ToVector(weights.parameters[0].tensor), ElementsAre(1.0, 1.0));
  EXPECT_NEAR(ToVector(weights.parameters[1].tensor)[0], 0.95, 1e-6);
}

TEST(FlatAdamWTest, GradientsOfSeveralBackwardPassesAddUpInTheFlatVector) {
  models::TorchWeights weights = Parameters({torch::ones({2}), torch::ones({1, 3})});
  FlatAdamW adamw(weights, {});
  for (int pass = 0; pass < 2; ++pass) {
    (weights.parameters[0].tensor.sum() * 2.0 + weights.parameters[1].tensor.sum() * 3.0)
        .backward();
  }
  // The matrix lies first.
  EXPECT_THAT(ToVector(adamw.grads()), ElementsAre(6.0, 6.0, 6.0, 4.0, 4.0));
  adamw.ZeroGrads();
  EXPECT_THAT(ToVector(weights.parameters[0].tensor.grad()), ElementsAre(0.0, 0.0));
}

TEST(ClipGradNormTest, KnownAnswer) {
  torch::Tensor grads = torch::tensor({3.0f, 4.0f, 12.0f});
  EXPECT_DOUBLE_EQ(ClipGradNorm(grads, 1.0), 13.0);
  EXPECT_THAT(ToVector(grads), ElementsAre(DoubleNear(0.23076921301775286, 1e-7),
                                           DoubleNear(0.3076922840236705, 1e-7),
                                           DoubleNear(0.9230768520710114, 1e-7)));
  EXPECT_NEAR(ClipGradNorm(grads, 100.0), 1.0, 1e-6);  // below the limit: unchanged
  EXPECT_NEAR(ToVector(grads)[2], 0.9230768520710114, 1e-7);
}

TEST(ClipGradNormTest, NotFiniteIsReportedAndLeft) {
  torch::Tensor grads = torch::tensor({1.0f, std::numeric_limits<float>::infinity()});
  EXPECT_TRUE(std::isinf(ClipGradNorm(grads, 1.0)));
  EXPECT_EQ(ToVector(grads)[0], 1.0);
}

}  // namespace
}  // namespace oneai::platform
