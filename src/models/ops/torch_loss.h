// File: models/ops/torch_loss.h
//
// The output head and cross-entropy in one step, chunk by chunk, so that the [num_tokens,
// vocab_size] logits (the largest tensor of a training step by far) never exist as a whole.
// Gradients are formed in the same pass, which costs three matrix products instead of four. Source:
// the idea of Liger-Kernel's fused linear cross-entropy, arXiv:2410.10989.
#pragma once

#include <cstdint>
#include <vector>

#include "torch/torch.h"

namespace oneai::models {

inline constexpr int64_t kIgnoredTarget = -100;

struct LossSum {
  torch::Tensor sum;       // scalar float32, with gradient when the inputs have one
  int64_t num_tokens = 0;  // targets that are not kIgnoredTarget
  // Of models with sparse layers, else undefined: LoadBalancingLoss of their routers. Not part of
  // `sum`; a trainer adds MoeConfig::aux_loss_weight times it to the mean.
  torch::Tensor load_balancing;
};

// sum over t of cross-entropy(hidden[t] weight^T, targets[t]) over the targets that are not
// kIgnoredTarget.
//   hidden [T, H] of the compute dtype   weight [V, H] any float dtype   targets [T] int64
// Products in hidden's dtype, softmax and accumulation in float32. Deterministic. With no target to
// predict the sum is 0 and so are the gradients. A target outside [0, V) throws c10::Error.
// Differentiable once.
LossSum LinearCrossEntropy(const torch::Tensor& hidden, const torch::Tensor& weight,
                           const torch::Tensor& targets);

// num_experts times the sum over experts of (share of choices that fall on it) times (mean
// probability), over the tokens of all layers together: 1 per choice when experts are used evenly.
//   router_logits  one [T, num_experts] float32 per sparse layer
// Differentiable through the probabilities. Source: arXiv:2101.03961 section 2.2, as Hugging Face's
// load_balancing_loss_func has it (with raw logits).
torch::Tensor LoadBalancingLoss(const std::vector<torch::Tensor>& router_logits,
                                int64_t experts_per_token);

}  // namespace oneai::models
