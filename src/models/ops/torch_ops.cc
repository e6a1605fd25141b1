#include "models/ops/torch_ops.h"

#include "models/ops/rope_frequencies.h"
#include "models/ops/torch_pointwise.h"

namespace oneai::models {

using torch::Tensor;

TorchOps::TorchOps(const ModelConfig& config, const TorchBatch& batch, torch::ScalarType compute)
    : config_(config), batch_(batch), compute_(compute) {
  TORCH_CHECK(compute == torch::kFloat32 || compute == torch::kBFloat16,
              "the compute dtype must be float32 or bfloat16");
  const RopeFrequencies rope = ComputeRopeFrequencies(config.rope, config.head_dim);
  const Tensor inv_freq = torch::tensor(torch::ArrayRef<float>(rope.inv_freq), torch::kFloat32)
                              .to(batch.tokens.device());
  const Tensor angles = batch.positions.to(torch::kFloat32).unsqueeze(1) * inv_freq;
  cos_ = (angles.cos() * rope.attention_factor).unsqueeze(1);
  sin_ = (angles.sin() * rope.attention_factor).unsqueeze(1);
}

Tensor TorchOps::Embed(const Embedding& table) {
  return torch::embedding(table, batch_.tokens).to(torch::kFloat32);
}

Tensor TorchOps::Norm(const Tensor& x, const Vector& weight) {
  return RmsNorm(x, weight, config_.rms_norm_eps, compute_);
}

Tensor TorchOps::AddNorm(Tensor& x, const Tensor& delta, const Vector& weight) {
  x = x + delta;
  return Norm(x, weight);
}

Qkv<Tensor> TorchOps::ProjectQkv(const Tensor& x, const Linear& q, const Linear& k,
                                 const Linear& v) {
  auto heads = [&](const Linear& linear) {
    return Project(x, linear).view({batch_.num_tokens(), -1, config_.head_dim});
  };
  return {heads(q), heads(k), heads(v)};
}

void TorchOps::QkNorm(Qkv<Tensor>& qkv, const Vector& q, const Vector& k) {
  qkv.q = Norm(qkv.q, q);
  qkv.k = Norm(qkv.k, k);
}

void TorchOps::Rope(Qkv<Tensor>& qkv) {
  qkv.q = RotateHalves(qkv.q, cos_, sin_);
  qkv.k = RotateHalves(qkv.k, cos_, sin_);
}

Tensor TorchOps::Attention(int /*layer*/, const Qkv<Tensor>& qkv, int64_t window) {
  auto [tiles, inserted] = tiles_.try_emplace(window);
  if (inserted) tiles->second = PlanAttentionTiles(batch_, window);
  return PackedAttention(qkv.q, qkv.k, qkv.v, tiles->second);
}

Tensor TorchOps::Project(const Tensor& x, const Linear& linear) {
  return torch::linear(x, linear.weight.to(compute_),
                       linear.bias.defined() ? linear.bias.to(compute_) : Tensor());
}

Tensor TorchOps::GatedMlp(const Tensor& x, const GateUp& gate_up, const Linear& down) {
  const Tensor gate = torch::linear(x, gate_up.gate.to(compute_));
  const Tensor up = torch::linear(x, gate_up.up.to(compute_));
  return Project(torch::silu(gate) * up, down);
}

}  // namespace oneai::models
