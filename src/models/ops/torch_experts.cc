// Sparse layers for LibTorch: tokens are gathered by expert, so that only the chosen products are
// computed, and each expert's results are added to their tokens.
#include "models/ops/torch_ops.h"

namespace oneai::models {

using torch::Tensor;

Tensor TorchOps::SparseMlp(int /*layer*/, const Tensor& x, const SparseMlpWeights<TorchOps>& w) {
  const MoeConfig& moe = config_.moe;
  std::vector<int64_t> widths = {moe.num_experts};
  if (moe.shared_expert_size > 0) widths.push_back(1);
  const std::vector<Tensor> routed = ProjectParts(x, w.router, widths);
  const Tensor logits = routed[0].to(torch::kFloat32);
  router_logits_.push_back(logits);
  auto [weights, experts] = torch::softmax(logits, -1).topk(moe.experts_per_token, -1);
  if (moe.normalize_weights) weights = weights / weights.sum(-1, /*keepdim=*/true);
  Tensor y = AddExperts(x, experts, weights, w.experts);
  if (moe.shared_expert_size > 0) {
    const Tensor shared = GatedMlp(x, w.shared_gate_up, w.shared_down);
    y = y + torch::sigmoid(routed[1].to(torch::kFloat32)) * shared;
  }
  return y.to(compute_);
}

Tensor TorchOps::AddExperts(const Tensor& x, const Tensor& experts, const Tensor& weights,
                            const Experts& w) {
  const bool stacked = w.stacked_down.defined();
  const std::vector<Tensor> gate_up =
      stacked ? w.stacked_gate_up.to(compute_).unbind(0) : std::vector<Tensor>();
  const std::vector<Tensor> down =
      stacked ? w.stacked_down.to(compute_).unbind(0) : std::vector<Tensor>();
  Tensor y = torch::zeros({x.size(0), config_.hidden_size}, weights.options());
  for (int64_t e = 0; e < config_.moe.num_experts; ++e) {
    const std::vector<Tensor> visits = torch::where(experts == e);  // tokens, place in the choice
    if (visits[0].numel() == 0) continue;
    const Tensor rows = x.index_select(0, visits[0]);
    Tensor out;
    if (stacked) {
      const std::vector<Tensor> both = torch::linear(rows, gate_up[e]).chunk(2, -1);
      out = torch::linear(torch::silu(both[0]) * both[1], down[e]);
    } else {
      const Tensor inner = torch::silu(torch::linear(rows, w.gate[e].to(compute_))) *
                           torch::linear(rows, w.up[e].to(compute_));
      out = torch::linear(inner, w.down[e].to(compute_));
    }
    y = y.index_add(0, visits[0],
                    out.to(torch::kFloat32) * weights.index({visits[0], visits[1]}).unsqueeze(1));
  }
  return y;
}

}  // namespace oneai::models
