#include "models/ops/torch_ops.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "models/ops/torch_loss.h"

namespace oneai::models {
namespace {

using torch::Tensor;

constexpr int64_t kHeads = 6, kKvHeads = 2, kHeadDim = 10;

// Documents that end inside, at and beyond the edges of query tiles.
TorchBatch SomeDocuments() {
  const std::vector<int64_t> bounds = {0, 1, 40, 128, 300, 301};
  return MakeTorchBatch(torch::zeros({bounds.back()}, torch::kInt64), bounds);
}

// The definition, one document at a time, with autograd's own gradients.
Tensor PlainAttention(const Tensor& q, const Tensor& k, const Tensor& v, const TorchBatch& batch,
                      int64_t window) {
  std::vector<Tensor> documents;
  for (size_t d = 0; d + 1 < batch.cu_seqlens.size(); ++d) {
    const int64_t begin = batch.cu_seqlens[d], end = batch.cu_seqlens[d + 1];
    auto heads = [&](const Tensor& x) { return x.slice(0, begin, end).transpose(0, 1); };
    const Tensor keys = heads(k).repeat_interleave(kHeads / kKvHeads, 0);
    const Tensor values = heads(v).repeat_interleave(kHeads / kKvHeads, 0);
    Tensor scores =
        torch::bmm(heads(q), keys.transpose(1, 2)) / std::sqrt(static_cast<double>(kHeadDim));
    const Tensor index = torch::arange(end - begin, torch::kInt64);
    const Tensor distance = index.unsqueeze(1) - index.unsqueeze(0);
    Tensor hidden = distance < 0;
    if (window > 0) hidden = hidden.logical_or(distance >= window);
    scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
    documents.push_back(torch::bmm(torch::softmax(scores, -1), values).transpose(0, 1));
  }
  return torch::cat(documents).reshape({-1, kHeads * kHeadDim});
}

class PackedAttentionTest : public ::testing::TestWithParam<int64_t> {};

TEST_P(PackedAttentionTest, MatchesTheDefinitionPerDocument) {
  torch::manual_seed(1);
  const TorchBatch batch = SomeDocuments();
  const int64_t num_tokens = batch.num_tokens();
  std::vector<Tensor> inputs;
  for (const int64_t heads : {kHeads, kKvHeads, kKvHeads}) {
    inputs.push_back(torch::randn({num_tokens, heads, kHeadDim}).requires_grad_(true));
  }
  const Tensor weight = torch::randn({num_tokens, kHeads * kHeadDim});
  const Tensor ours =
      PackedAttention(inputs[0], inputs[1], inputs[2], PlanAttentionTiles(batch, GetParam()));
  const Tensor plain = PlainAttention(inputs[0], inputs[1], inputs[2], batch, GetParam());
  // 300 terms of float32 rounding on values of order one.
  EXPECT_TRUE(torch::allclose(ours, plain, 1e-4, 2e-5));
  const auto our_grads = torch::autograd::grad({(ours * weight).sum()}, inputs);
  const auto plain_grads = torch::autograd::grad({(plain * weight).sum()}, inputs);
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_TRUE(torch::allclose(our_grads[i], plain_grads[i], 1e-4, 1e-4)) << "gradient " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Windows, PackedAttentionTest, ::testing::Values(0, 1, 13, 1000));

TEST(AttentionTilesTest, MeetOnlyKeysThatSomeQueryMaySee) {
  const std::vector<AttentionTile> tiles = PlanAttentionTiles(SomeDocuments(), 0);
  ASSERT_EQ(tiles.size(), 3u);
  EXPECT_EQ(tiles[0].key_begin, 0);
  EXPECT_EQ(tiles[1].key_begin, 128);
  EXPECT_EQ(tiles[2].key_begin, 128);
}

TEST(TorchBatchTest, RefusesEmptyDocuments) {
  EXPECT_THROW(MakeTorchBatch(torch::zeros({4}, torch::kInt64), {0, 2, 2, 4}), c10::Error);
  EXPECT_THROW(MakeTorchBatch(torch::zeros({4}, torch::kInt64), {0, 3}), c10::Error);
}

struct LossInputs {
  Tensor hidden, weight, targets;
};

// More rows than one chunk holds at this vocabulary, a third of them ignored.
LossInputs SomeLossInputs() {
  torch::manual_seed(2);
  const int64_t num_tokens = 700, vocab = 33000;
  Tensor targets = torch::randint(vocab, {num_tokens}, torch::kInt64);
  targets.masked_fill_(torch::arange(num_tokens).remainder(3) == 0, kIgnoredTarget);
  return {torch::randn({num_tokens, 8}).requires_grad_(true),
          torch::randn({vocab, 8}).requires_grad_(true), targets};
}

TEST(LinearCrossEntropyTest, MatchesTheFullLogits) {
  const LossInputs in = SomeLossInputs();
  const LossSum ours = LinearCrossEntropy(in.hidden, in.weight, in.targets);
  const Tensor plain = torch::nll_loss(torch::log_softmax(torch::linear(in.hidden, in.weight), 1),
                                       in.targets, {}, torch::Reduction::Sum);
  EXPECT_EQ(ours.num_tokens, 466);
  EXPECT_NEAR(ours.sum.item<double>() / plain.item<double>(), 1.0, 1e-6);
  const auto our_grads = torch::autograd::grad({ours.sum / 7}, {in.hidden, in.weight});
  const auto plain_grads = torch::autograd::grad({plain / 7}, {in.hidden, in.weight});
  EXPECT_TRUE(torch::allclose(our_grads[0], plain_grads[0], 1e-4, 1e-5));
  EXPECT_TRUE(torch::allclose(our_grads[1], plain_grads[1], 1e-4, 1e-5));
}

TEST(LinearCrossEntropyTest, NoTargetsMeanNoLossAndNoGradient) {
  const LossInputs in = SomeLossInputs();
  const LossSum loss =
      LinearCrossEntropy(in.hidden, in.weight, torch::full_like(in.targets, kIgnoredTarget));
  EXPECT_EQ(loss.num_tokens, 0);
  EXPECT_EQ(loss.sum.item<double>(), 0.0);
  loss.sum.backward();
  EXPECT_TRUE(in.weight.grad().eq(0).all().item<bool>());
}

TEST(LinearCrossEntropyTest, ATargetOutsideTheVocabularyThrows) {
  const LossInputs in = SomeLossInputs();
  EXPECT_THROW(LinearCrossEntropy(in.hidden, in.weight, torch::full_like(in.targets, 33000)),
               c10::Error);
}

}  // namespace
}  // namespace oneai::models
