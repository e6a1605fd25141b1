// File: models/ops/torch_delta_net.h
//
// The Gated DeltaNet layer's own mathematics for LibTorch, differentiable, over packed documents.
// Serving computes the same token by token (kernels/delta_net); here chunks of tokens are solved at
// once, which turns most of the work into matrix products and keeps one state per chunk, not per
// token, for the backward pass. Source: arXiv:2412.06464 section 3.3; Hugging Face transformers,
// modeling_qwen3_next.py (torch_chunk_gated_delta_rule).
#pragma once

#include "models/ops/torch_batch.h"
#include "torch/torch.h"

namespace oneai::models {

// silu(sum_j weight[:, 0, j] * x[t - (kernel - 1) + j]) within each document, zeros before its
// start.
//   x [T, channels] any float dtype   weight [channels, 1, kernel] -> [T, channels] float32
torch::Tensor CausalConvSilu(const torch::Tensor& x, const torch::Tensor& weight,
                             const TorchBatch& batch);

// What the recurrence reads; all float32.
struct DeltaRuleInputs {
  torch::Tensor q;     // [T, key_heads, key_dim], before the l2 norm and scaling
  torch::Tensor k;     // [T, key_heads, key_dim], before the l2 norm
  torch::Tensor v;     // [T, value_heads, value_dim]
  torch::Tensor g;     // [T, value_heads] log decay
  torch::Tensor beta;  // [T, value_heads]
};

// The gated delta rule (kernels/delta_net/delta_rule.h has the formula) from a zero state at the
// start of every document -> [T, value_heads, value_dim] float32. Deterministic.
torch::Tensor GatedDeltaRule(const DeltaRuleInputs& inputs, const TorchBatch& batch);

// g = -exp(a_log) softplus(a + dt_bias), in float32.
torch::Tensor DeltaLogDecay(const torch::Tensor& a, const torch::Tensor& a_log,
                            const torch::Tensor& dt_bias);

}  // namespace oneai::models
