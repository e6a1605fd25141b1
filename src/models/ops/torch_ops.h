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
  struct GateUp {
    torch::Tensor gate, up;  // [intermediate_size, hidden_size]
  };

  // `compute` is kFloat32 or kBFloat16.
  TorchOps(const ModelConfig& config, const TorchBatch& batch, torch::ScalarType compute);

  Tensor Embed(const Embedding& table);
  Tensor Norm(const Tensor& x, const Vector& weight);
  Tensor AddNorm(Tensor& x, const Tensor& delta, const Vector& weight);
  Qkv<Tensor> ProjectQkv(const Tensor& x, const Linear& q, const Linear& k, const Linear& v);
  void QkNorm(Qkv<Tensor>& qkv, const Vector& q, const Vector& k);
  void Rope(Qkv<Tensor>& qkv);
  Tensor Attention(int layer, const Qkv<Tensor>& qkv, int64_t window);
  Tensor Project(const Tensor& x, const Linear& linear);
  Tensor GatedMlp(const Tensor& x, const GateUp& gate_up, const Linear& down);

 private:
  const ModelConfig& config_;
  const TorchBatch& batch_;
  const torch::ScalarType compute_;
  Tensor cos_, sin_;                                     // [T, 1, head_dim / 2] float32
  std::map<int64_t, std::vector<AttentionTile>> tiles_;  // by window
};

static_assert(Ops<TorchOps>);

}  // namespace oneai::models
