#include "models/ops/torch_delta_net.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace oneai::models {
namespace {

using torch::Tensor;

constexpr int64_t kKeyHeads = 2, kValueHeads = 4, kKeyDim = 6, kValueDim = 5;

// Documents that end inside, at and beyond the edges of chunks.
TorchBatch SomeDocuments() {
  const std::vector<int64_t> bounds = {0, 1, 40, 104, 250, 252};
  return MakeTorchBatch(torch::zeros({bounds.back()}, torch::kInt64), bounds);
}

// Leaves in float64, so that what is compared is the algebra, not rounding.
std::vector<Tensor> RandomInputs(int64_t num_tokens) {
  torch::manual_seed(3);
  auto leaf = [](const Tensor& x) { return x.to(torch::kFloat64).requires_grad_(true); };
  return {leaf(torch::randn({num_tokens, kKeyHeads, kKeyDim})),
          leaf(torch::randn({num_tokens, kKeyHeads, kKeyDim})),
          leaf(torch::randn({num_tokens, kValueHeads, kValueDim})),
          leaf(-torch::rand({num_tokens, kValueHeads}) * 2),
          leaf(torch::rand({num_tokens, kValueHeads}))};
}

DeltaRuleInputs AsInputs(const std::vector<Tensor>& x) { return {x[0], x[1], x[2], x[3], x[4]}; }

// The definition, token by token.
Tensor PlainRule(const std::vector<Tensor>& x, const TorchBatch& batch) {
  auto unit = [](const Tensor& heads) {
    const Tensor norm = (heads.square().sum(-1, true) + 1e-6).sqrt();
    return (heads / norm).repeat_interleave(kValueHeads / kKeyHeads, 1);
  };
  const Tensor q = unit(x[0]) / std::sqrt(static_cast<double>(kKeyDim)), k = unit(x[1]);
  std::vector<Tensor> outs;
  Tensor state;
  for (int64_t t = 0; t < batch.num_tokens(); ++t) {
    if (batch.positions[t].item<int64_t>() == 0) {
      state = torch::zeros({kValueHeads, kKeyDim, kValueDim}, torch::kFloat64);
    }
    state = state * x[3][t].exp().view({-1, 1, 1});
    const Tensor known = (state * k[t].unsqueeze(-1)).sum(1);
    const Tensor delta = (x[2][t] - known) * x[4][t].unsqueeze(-1);
    state = state + k[t].unsqueeze(-1) * delta.unsqueeze(1);
    outs.push_back((state * q[t].unsqueeze(-1)).sum(1));
  }
  return torch::stack(outs);
}

TEST(GatedDeltaRuleTest, ChunksMatchTheRecurrenceAndItsGradients) {
  const TorchBatch batch = SomeDocuments();
  const std::vector<Tensor> inputs = RandomInputs(batch.num_tokens());
  const Tensor weight = torch::randn({batch.num_tokens(), kValueHeads, kValueDim}, torch::kFloat64);
  const Tensor ours = GatedDeltaRule(AsInputs(inputs), batch), plain = PlainRule(inputs, batch);
  EXPECT_TRUE(torch::allclose(ours, plain, 1e-9, 1e-10));
  const auto our_grads = torch::autograd::grad({(ours * weight).sum()}, inputs);
  const auto plain_grads = torch::autograd::grad({(plain * weight).sum()}, inputs);
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_TRUE(torch::allclose(our_grads[i], plain_grads[i], 1e-8, 1e-9)) << "gradient " << i;
  }
}

TEST(GatedDeltaRuleTest, StrongDecayStaysFinite) {
  const TorchBatch batch = SomeDocuments();
  std::vector<Tensor> inputs = RandomInputs(batch.num_tokens());
  for (Tensor& x : inputs) x = x.detach().to(torch::kFloat32);
  inputs[3] = (inputs[3] * 100).requires_grad_(true);
  const Tensor out = GatedDeltaRule(AsInputs(inputs), batch);
  EXPECT_TRUE(out.isfinite().all().item<bool>());
  EXPECT_TRUE(torch::autograd::grad({out.sum()}, {inputs[3]})[0].isfinite().all().item<bool>());
}

TEST(CausalConvSiluTest, StaysWithinDocuments) {
  const TorchBatch batch = SomeDocuments();
  constexpr int64_t kChannels = 3, kKernel = 4;
  torch::manual_seed(4);
  const Tensor x = torch::randn({batch.num_tokens(), kChannels});
  const Tensor weight = torch::randn({kChannels, 1, kKernel});
  std::vector<Tensor> documents;
  for (size_t d = 0; d + 1 < batch.cu_seqlens.size(); ++d) {
    const Tensor document = x.slice(0, batch.cu_seqlens[d], batch.cu_seqlens[d + 1]).t();
    const Tensor padded = torch::constant_pad_nd(document.unsqueeze(0), {kKernel - 1, 0});
    documents.push_back(
        at::conv1d(padded, weight, {}, /*stride=*/1, at::IntArrayRef{0}, 1, kChannels)
            .squeeze(0)
            .t());
  }
  const Tensor expected = torch::silu(torch::cat(documents));
  EXPECT_TRUE(torch::allclose(CausalConvSilu(x, weight, batch), expected, 1e-5, 1e-6));
}

TEST(CausalConvSiluTest, TakesBatchesShorterThanTheKernel) {
  const TorchBatch batch = MakeTorchBatch(torch::zeros({1}, torch::kInt64), {0, 1});
  const Tensor x = torch::ones({1, 2}), weight = torch::full({2, 1, 4}, 2.0);
  EXPECT_TRUE(torch::allclose(CausalConvSilu(x, weight, batch), torch::silu(2 * x)));
}

}  // namespace
}  // namespace oneai::models
