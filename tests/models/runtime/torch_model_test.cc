#include "models/runtime/torch_model.h"

#include "gtest/gtest.h"
#include "models/runtime/cpu_model.h"
#include "tests/models/runtime/tiny_model.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::FreshFolder;
using ::oneai::testing::StatusIs;
using ::oneai::testing::TinyQwen2;
using ::oneai::testing::TinyQwen3;
using ::testing::HasSubstr;

ModelConfig TinyOf(ModelFamily family) {
  switch (family) {
    case ModelFamily::kQwen2:
      return TinyQwen2();
    case ModelFamily::kQwen2Moe:
      return oneai::testing::TinyMoe();
    case ModelFamily::kQwen:
      return oneai::testing::TinyQwen1();
    case ModelFamily::kLlama:
      return oneai::testing::TinyLlama();
    default:
      return TinyQwen3();
  }
}

// Fresh weights are nearly linear; this makes every part of the model matter.
TorchWeights LivelyWeights(const ModelConfig& config) {
  absl::StatusOr<TorchWeights> weights = InitWeights(config, 11);
  EXPECT_THAT(weights, oneai::testing::IsOk());
  const torch::NoGradGuard no_grad;
  torch::manual_seed(5);
  for (const NamedParameter& p : weights->parameters)
    p.tensor.add_(torch::randn(p.tensor.sizes()) * 0.3);
  return *std::move(weights);
}

TEST(InitWeightsTest, IsAFunctionOfTheSeed) {
  ASSERT_OK_AND_ASSIGN(const TorchWeights a, InitWeights(TinyQwen3(), 1));
  ASSERT_OK_AND_ASSIGN(const TorchWeights b, InitWeights(TinyQwen3(), 1));
  ASSERT_OK_AND_ASSIGN(const TorchWeights c, InitWeights(TinyQwen3(), 2));
  ASSERT_EQ(a.parameters.size(), b.parameters.size());
  for (size_t i = 0; i < a.parameters.size(); ++i) {
    EXPECT_TRUE(torch::equal(a.parameters[i].tensor, b.parameters[i].tensor))
        << a.parameters[i].name;
  }
  EXPECT_FALSE(torch::equal(a.parameters[0].tensor, c.parameters[0].tensor));
  EXPECT_NEAR(a.parameters[0].tensor.std().item<double>(), 0.02, 0.001);
  EXPECT_NEAR(a.parameters[0].tensor.mean().item<double>(), 0.0, 0.001);
}

TEST(InitWeightsTest, StartsNormsAtOneAndBiasesAtZero) {
  ASSERT_OK_AND_ASSIGN(const TorchWeights weights, InitWeights(TinyQwen2(), 1));
  for (const NamedParameter& p : weights.parameters) {
    if (p.name.ends_with("norm.weight")) {
      EXPECT_TRUE(p.tensor.eq(1).all().item<bool>()) << p.name;
    }
    if (p.name.ends_with(".bias")) {
      EXPECT_TRUE(p.tensor.eq(0).all().item<bool>()) << p.name;
    }
  }
}

class TrainAndServeTest : public ::testing::TestWithParam<ModelFamily> {
 protected:
  ModelConfig config_ = TinyOf(GetParam());
};

TEST_P(TrainAndServeTest, WhatIsTrainedIsWhatIsServed) {
  const TorchWeights weights = LivelyWeights(config_);
  const std::filesystem::path folder = FreshFolder("model");
  ASSERT_OK(SaveTorchWeights(weights, folder, DType::kF32));
  ASSERT_OK_AND_ASSIGN(const auto served, CpuModel::Load(folder, {.dtype = ComputeDtype::kF32}));
  ASSERT_OK_AND_ASSIGN(PagedKvCache cache,
                       PagedKvCache::Create(config_, 8, 16, ComputeDtype::kF32));
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 45; ++i) ids.push_back(i * i % config_.vocab_size);
  const std::vector<int32_t> tokens(ids.begin(), ids.end()), table = {3, 1, 2};
  const SequenceChunk chunk{tokens, 0, table, kAllRows};
  std::vector<float> ours;
  ASSERT_OK(served->Forward({&chunk, 1}, cache, ours));
  const torch::NoGradGuard no_grad;
  TorchBatch batch = MakeTorchBatch(torch::tensor(ids, torch::kInt64), {0, 45});
  batch.use = TorchUse::kInference;
  const torch::Tensor theirs = Logits(weights, batch, torch::kFloat32);
  const torch::Tensor difference = torch::from_blob(ours.data(), theirs.sizes()) - theirs;
  EXPECT_LT(difference.abs().max().item<double>(), 1e-4 * theirs.std().item<double>());
}

TEST_P(TrainAndServeTest, LossFallsAndRepeatsBitForBit) {
  auto train = [&] {
    const TorchWeights weights = *InitWeights(config_, 3);
    std::vector<torch::Tensor> parameters;
    for (const NamedParameter& p : weights.parameters) parameters.push_back(p.tensor);
    torch::optim::AdamW optimizer(parameters, torch::optim::AdamWOptions(1e-2));
    const torch::Tensor rows = torch::arange(4 * 33, torch::kInt64).remainder(11).view({4, 33});
    const TorchBatch batch = MakeTorchBatchOfRows(rows.slice(1, 0, 32));
    const torch::Tensor targets = rows.slice(1, 1, 33).reshape({-1});
    std::vector<double> losses;
    for (int step = 0; step < 30; ++step) {
      optimizer.zero_grad();
      const LossSum loss = Loss(weights, batch, targets, torch::kBFloat16);
      EXPECT_EQ(loss.num_tokens, 128);
      losses.push_back(loss.sum.item<double>() / 128);
      (loss.sum / 128).backward();
      optimizer.step();
    }
    return losses;
  };
  const std::vector<double> losses = train();
  EXPECT_NEAR(losses.front(), std::log(static_cast<double>(config_.vocab_size)), 0.3);
  EXPECT_LT(losses.back(), 0.5 * losses.front());
  EXPECT_EQ(train(), losses);
}

INSTANTIATE_TEST_SUITE_P(Families, TrainAndServeTest,
                         ::testing::Values(ModelFamily::kQwen2, ModelFamily::kQwen3,
                                           ModelFamily::kQwen2Moe, ModelFamily::kQwen,
                                           ModelFamily::kLlama));

TEST(SaveTorchWeightsTest, RoundTripsThroughBf16) {
  const TorchWeights weights = LivelyWeights(TinyQwen2());
  const std::filesystem::path folder = FreshFolder("model");
  ASSERT_OK(SaveTorchWeights(weights, folder, DType::kBF16));
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, LoadModelConfig(folder));
  EXPECT_EQ(config.dtype, DType::kBF16);
  ASSERT_OK_AND_ASSIGN(const Checkpoint checkpoint, Checkpoint::Open(folder));
  ASSERT_OK_AND_ASSIGN(const TorchWeights loaded, LoadTorchWeights(config, checkpoint));
  for (size_t i = 0; i < weights.parameters.size(); ++i) {
    EXPECT_EQ(loaded.parameters[i].name, weights.parameters[i].name);
    EXPECT_TRUE(
        torch::equal(loaded.parameters[i].tensor,
                     weights.parameters[i].tensor.to(torch::kBFloat16).to(torch::kFloat32)));
  }
}

TEST(SaveTorchWeightsTest, RefusesOtherDtypes) {
  const TorchWeights weights = LivelyWeights(TinyQwen3());
  EXPECT_THAT(SaveTorchWeights(weights, FreshFolder("model"), DType::kF16),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("F16")));
}

}  // namespace
}  // namespace oneai::models
