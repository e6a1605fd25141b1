// File: models/ops/torch_ops.h
//
// The Ops of training: LibTorch tensors with autograd, on any device. Mixed precision as in
// torch.autocast: weights arrive in float32 and are cast for matrix products; the residual stream,
// norms, rope, softmax and loss are float32. With a float32 compute dtype everything is.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "models/config/model_config.h"
#include "models/ops/ops.h"
#include "models/ops/torch_attention.h"
#include "models/ops/torch_batch.h"
#include "torch/torch.h"

namespace oneai::models {

// Bound to one batch, which it borrows: cos, sin and attention tiles are computed once and shared
// by all layers. Methods throw c10::Error; call them within the torch boundary. Semantics:
// models/ops/ops.h.
class TorchOps {
 public:
  using Tensor = torch::Tensor;
  using Vector = torch::Tensor;
  using Embedding = torch::Tensor;
  struct Linear {
    torch::Tensor weight;  // [out, in]
    torch::Tensor bias;    // [out], or undefined
  };
  // The parameters themselves and which of their rows are wanted, in order: an optimizer's update
  // in place reaches them, which it would not if they were put together once.
  struct StackedLinear {
    struct Part {
      size_t tensor = 0;
      int64_t begin = 0, rows = 0;
    };
    std::vector<Linear> tensors;
    std::vector<Part> parts;
  };
  // Either one entry per expert, or all experts in one tensor.
  struct Experts {
    std::vector<Tensor> gate, up, down;  // [expert_size, hidden_size] twice, [hidden_size, ...]
    Tensor stacked_gate_up;              // [experts, 2 expert_size, hidden_size]
    Tensor stacked_down;                 // [experts, hidden_size, expert_size]
  };

  // `compute` is kFloat32 or kBFloat16.
  TorchOps(const ModelConfig& config, const TorchBatch& batch, torch::ScalarType compute);

  Tensor Embed(const Embedding& table);
  Tensor Norm(const Tensor& x, const Vector& weight);
  Tensor AddNorm(Tensor& x, const Tensor& delta, const Vector& weight);
  Qkv<Tensor> ProjectQkv(const Tensor& x, const StackedLinear& qkv);
  void QkNorm(Qkv<Tensor>& qkv, const Vector& q, const Vector& k);
  void Rope(Qkv<Tensor>& qkv);
  void ScaleQueries(Qkv<Tensor>& qkv);
  Tensor Attention(int layer, const Qkv<Tensor>& qkv, int64_t window);
  void GateHeads(Tensor& x, const Qkv<Tensor>& qkv);
  Tensor Project(const Tensor& x, const Linear& linear);
  Tensor GatedMlp(const Tensor& x, const StackedLinear& gate_up, const Linear& down);
  Tensor SparseMlp(int layer, const Tensor& x, const SparseMlpWeights<TorchOps>& w);
  Tensor GatedDeltaNet(int layer, const Tensor& x, const DeltaNetWeights<TorchOps>& w);

  // Raw router logits [T, num_experts] float32 of every sparse layer so far, in order: what the
  // load-balancing loss is made of.
  const std::vector<Tensor>& router_logits() const { return router_logits_; }

 private:
  // x through all of `stacked`, cut into parts of `widths`.
  std::vector<Tensor> ProjectParts(const Tensor& x, const StackedLinear& stacked,
                                   const std::vector<int64_t>& widths);
  // The weight a norm multiplies by.
  Tensor NormWeight(const Vector& weight) const;
  Tensor AddExperts(const Tensor& x, const Tensor& experts, const Tensor& weights,
                    const Experts& w);

  const ModelConfig& config_;
  const TorchBatch& batch_;
  const torch::ScalarType compute_;
  Tensor cos_, sin_;     // [T, 1, rotary_dim / 2] float32
  Tensor query_scales_;  // [T, 1, 1], only with log-n in inference
  std::vector<Tensor> router_logits_;
  std::map<int64_t, std::vector<AttentionTile>> tiles_;  // by window
};

static_assert(Ops<TorchOps>);

}  // namespace oneai::models
