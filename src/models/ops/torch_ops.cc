#include "models/ops/torch_ops.h"

#include "models/ops/rope_frequencies.h"
#include "models/ops/torch_delta_net.h"
#include "models/ops/torch_pointwise.h"

namespace oneai::models {

using torch::Tensor;

namespace {

// inv_freq of every token [T, rotary_dim / 2] or of all [rotary_dim / 2].
Tensor InverseFrequencies(const ModelConfig& config, const TorchBatch& batch) {
  auto row = [&](double alpha) {
    const RopeFrequencies rope = ComputeRopeFrequencies(config.rope, config.rotary_dim(), alpha);
    return torch::tensor(torch::ArrayRef<float>(rope.inv_freq), torch::kFloat32);
  };
  if (!config.rope.dynamic_ntk || batch.use == TorchUse::kTraining) return row(1.0);
  std::vector<Tensor> rows;
  for (size_t d = 0; d + 1 < batch.cu_seqlens.size(); ++d) {
    const int64_t length = batch.cu_seqlens[d + 1] - batch.cu_seqlens[d];
    rows.push_back(row(NtkAlpha(length, config.trained_positions)).expand({length, -1}));
  }
  return torch::cat(rows);
}

Tensor QueryScales(const ModelConfig& config, const TorchBatch& batch) {
  const Tensor positions = batch.positions.to(torch::kCPU);
  Tensor scales = torch::empty({batch.num_tokens(), 1, 1}, torch::kFloat32);
  for (int64_t t = 0; t < batch.num_tokens(); ++t)
    scales.data_ptr<float>()[t] =
        LogNScale(positions.data_ptr<int64_t>()[t], config.trained_positions);
  return scales.to(batch.tokens.device());
}

}  // namespace

TorchOps::TorchOps(const ModelConfig& config, const TorchBatch& batch, torch::ScalarType compute)
    : config_(config), batch_(batch), compute_(compute) {
  TORCH_CHECK(compute == torch::kFloat32 || compute == torch::kBFloat16,
              "the compute dtype must be float32 or bfloat16");
  const Tensor inv_freq = InverseFrequencies(config, batch).to(batch.tokens.device());
  const Tensor angles = batch.positions.to(torch::kFloat32).unsqueeze(1) * inv_freq;
  const float factor = config.rope.scaling == RopeScaling::kYarn
                           ? static_cast<float>(config.rope.yarn_attention_factor)
                           : 1.0f;
  cos_ = (angles.cos() * factor).unsqueeze(1);
  sin_ = (angles.sin() * factor).unsqueeze(1);
  if (config.log_n_attention && batch.use == TorchUse::kInference)
    query_scales_ = QueryScales(config, batch);
}

Tensor TorchOps::Embed(const Embedding& table) {
  return torch::embedding(table, batch_.tokens).to(torch::kFloat32);
}

Tensor TorchOps::NormWeight(const Vector& weight) const {
  return config_.zero_centered_norms ? weight + 1.0 : weight;
}

Tensor TorchOps::Norm(const Tensor& x, const Vector& weight) {
  return RmsNorm(x, NormWeight(weight), config_.rms_norm_eps, compute_);
}

Tensor TorchOps::AddNorm(Tensor& x, const Tensor& delta, const Vector& weight) {
  x = x + delta;
  return Norm(x, weight);
}

std::vector<Tensor> TorchOps::ProjectParts(const Tensor& x, const StackedLinear& stacked,
                                           const std::vector<int64_t>& widths) {
  std::vector<Tensor> whole, parts;
  for (const Linear& linear : stacked.tensors) whole.push_back(Project(x, linear));
  bool as_wanted = stacked.parts.size() == widths.size();
  for (size_t i = 0; i < stacked.parts.size(); ++i) {
    const StackedLinear::Part& part = stacked.parts[i];
    parts.push_back(whole[part.tensor].slice(-1, part.begin, part.begin + part.rows));
    as_wanted = as_wanted && part.rows == widths[i];
  }
  if (as_wanted) return parts;
  return torch::cat(parts, -1).split_with_sizes(widths, -1);
}

Qkv<Tensor> TorchOps::ProjectQkv(const Tensor& x, const StackedLinear& qkv) {
  const int64_t q_width = config_.num_heads * config_.head_dim,
                kv_width = config_.num_kv_heads * config_.head_dim;
  std::vector<int64_t> widths = {q_width, kv_width, kv_width};
  if (config_.attention_gate) widths.push_back(q_width);
  const std::vector<Tensor> parts = ProjectParts(x, qkv, widths);
  auto heads = [&](const Tensor& y) {
    return y.reshape({batch_.num_tokens(), -1, config_.head_dim});
  };
  return {heads(parts[0]), heads(parts[1]), heads(parts[2]),
          config_.attention_gate ? parts[3] : Tensor()};
}

void TorchOps::QkNorm(Qkv<Tensor>& qkv, const Vector& q, const Vector& k) {
  qkv.q = Norm(qkv.q, q);
  qkv.k = Norm(qkv.k, k);
}

void TorchOps::Rope(Qkv<Tensor>& qkv) {
  const int64_t rotary = config_.rotary_dim();
  auto rotate = [&](const Tensor& x) {
    if (rotary == config_.head_dim) return RotateHalves(x, cos_, sin_);
    return torch::cat({RotateHalves(x.slice(-1, 0, rotary), cos_, sin_), x.slice(-1, rotary)}, -1);
  };
  qkv.q = rotate(qkv.q);
  qkv.k = rotate(qkv.k);
}

void TorchOps::ScaleQueries(Qkv<Tensor>& qkv) {
  if (query_scales_.defined()) qkv.q = (qkv.q * query_scales_).to(qkv.q.scalar_type());
}

void TorchOps::GateHeads(Tensor& x, const Qkv<Tensor>& qkv) { x = x * torch::sigmoid(qkv.gate); }

Tensor TorchOps::Attention(int /*layer*/, const Qkv<Tensor>& qkv, int64_t window) {
  auto [tiles, inserted] = tiles_.try_emplace(window);
  if (inserted) tiles->second = PlanAttentionTiles(batch_, window);
  return PackedAttention(qkv.q, qkv.k, qkv.v, tiles->second);
}

Tensor TorchOps::Project(const Tensor& x, const Linear& linear) {
  return torch::linear(x, linear.weight.to(compute_),
                       linear.bias.defined() ? linear.bias.to(compute_) : Tensor());
}

Tensor TorchOps::GatedMlp(const Tensor& x, const StackedLinear& gate_up, const Linear& down) {
  const int64_t inner = down.weight.size(1);
  const std::vector<Tensor> parts = ProjectParts(x, gate_up, {inner, inner});
  return Project(torch::silu(parts[0]) * parts[1], down);
}

Tensor TorchOps::GatedDeltaNet(int /*layer*/, const Tensor& x, const DeltaNetWeights<TorchOps>& w) {
  const DeltaNetConfig& d = config_.delta_net;
  const int64_t num_tokens = batch_.num_tokens();
  const std::vector<Tensor> qkvz = ProjectParts(x, w.qkvz, {d.conv_width(), d.value_width()});
  const std::vector<Tensor> ba = ProjectParts(x, w.ba, {d.num_value_heads, d.num_value_heads});
  const std::vector<Tensor> qkv =
      CausalConvSilu(qkvz[0], w.conv, batch_)
          .split_with_sizes({d.key_width(), d.key_width(), d.value_width()}, -1);
  const DeltaRuleInputs inputs = {.q = qkv[0].view({num_tokens, d.num_key_heads, d.key_dim}),
                                  .k = qkv[1].view({num_tokens, d.num_key_heads, d.key_dim}),
                                  .v = qkv[2].view({num_tokens, d.num_value_heads, d.value_dim}),
                                  .g = DeltaLogDecay(ba[1], w.a_log, w.dt_bias),
                                  .beta = torch::sigmoid(ba[0].to(torch::kFloat32))};
  const Tensor normed =
      RmsNorm(GatedDeltaRule(inputs, batch_), w.norm, config_.rms_norm_eps, torch::kFloat32);
  const Tensor z = qkvz[1].to(torch::kFloat32).reshape(normed.sizes());
  return Project((normed * torch::silu(z)).view({num_tokens, -1}).to(compute_), w.out);
}

}  // namespace oneai::models
