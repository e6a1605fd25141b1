// File: models/qwen/forward.h
//
// The mathematics of the Qwen text models (and of Llama, which is the same decoder), written once
// for training and serving: a pre-norm decoder whose layers mix tokens by grouped-query attention,
// gated or not, or by Gated DeltaNet, and then pass a gated MLP or some of many experts. What a
// model has of these is in ModelConfig. Source: arXiv:2407.10671 (Qwen2, Qwen2-MoE),
// arXiv:2505.09388 (Qwen3), and Hugging Face's modeling files for Qwen3-Next and Qwen3.5.
#pragma once

#include <cstdint>
#include <vector>

#include "models/config/model_config.h"
#include "models/ops/ops.h"

namespace oneai::models::qwen {

// The weights of one decoder layer, as `O` stores them; what a layer lacks is empty. Made by
// BindWeights (models/qwen/weights.h).
template <Ops O>
struct BlockWeights {
  typename O::Vector input_norm;  // [hidden_size]
  // Layers of full or sliding attention.
  typename O::StackedLinear qkv;           // q, k, v and, with attention_gate, the gates
  typename O::Vector q_norm, k_norm;       // [head_dim], only with qk_norm
  typename O::Linear o;                    // [hidden_size, heads * head_dim]
  DeltaNetWeights<O> delta_net;            // layers of linear attention
  typename O::Vector post_attention_norm;  // [hidden_size]
  // Dense layers.
  typename O::StackedLinear gate_up;  // 2 x [intermediate_size, hidden_size]
  typename O::Linear down;            // [hidden_size, intermediate_size]
  SparseMlpWeights<O> sparse;         // sparse layers
};

template <Ops O>
struct ModelWeights {
  typename O::Embedding embed;  // [vocab_size, hidden_size]
  std::vector<BlockWeights<O>> blocks;
  typename O::Vector final_norm;  // [hidden_size]
  typename O::Linear head;        // [vocab_size, hidden_size]; the embedding's matrix when tied
};

// A multi-token-prediction head: one more layer, of full attention, which reads the final-normed
// hidden state of a token and the embedding of the next one, and whose output the model's own head
// turns into the logits of the token after that.
template <Ops O>
struct MtpWeights {
  typename O::Vector embedding_norm, hidden_norm;  // [hidden_size]
  typename O::Linear
      fc;  // [hidden_size, 2 hidden_size]: of the normed embedding, then hidden state
  BlockWeights<O> block;
  typename O::Vector final_norm;  // [hidden_size]
};

// Places where an observer may look at activations: what a layer reads, its two branches before the
// residual, and the result. `layer` is 0 .. num_layers - 1, and num_layers for the input of the
// final norm and its output.
enum class Probe { kLayerInput, kAttention, kMlp, kFinal };

// The observer of a run that nobody watches.
struct NoObserver {
  template <typename Tensor>
  void operator()(Probe, int64_t, const Tensor&) const {}
};

// attn(n): n [num_tokens, hidden_size] is the normed residual stream. `layer` names the layer's
// place in the KV cache.
template <Ops O>
typename O::Tensor Attend(O& ops, const ModelConfig& config, const BlockWeights<O>& w, int layer,
                          int64_t window, const typename O::Tensor& n) {
  Qkv<typename O::Tensor> qkv = ops.ProjectQkv(n, w.qkv);
  if (config.qk_norm) ops.QkNorm(qkv, w.q_norm, w.k_norm);
  ops.Rope(qkv);
  if (config.log_n_attention) ops.ScaleQueries(qkv);
  typename O::Tensor attended = ops.Attention(layer, qkv, window);
  if (config.attention_gate) ops.GateHeads(attended, qkv);
  return ops.Project(attended, w.o);
}

// The branch that mixes tokens, of the layer's type.
template <Ops O>
typename O::Tensor MixTokens(O& ops, const ModelConfig& config, const BlockWeights<O>& w, int layer,
                             const typename O::Tensor& n) {
  switch (config.layer_types[layer]) {
    case LayerType::kFullAttention:
      return Attend(ops, config, w, layer, 0, n);
    case LayerType::kSlidingAttention:
      return Attend(ops, config, w, layer, config.sliding_window, n);
    case LayerType::kLinearAttention:
      return ops.GatedDeltaNet(layer, n, w.delta_net);
  }
  return n;
}

// The branch that works on each token.
template <Ops O>
typename O::Tensor Mlp(O& ops, const ModelConfig& config, const BlockWeights<O>& w, int layer,
                       const typename O::Tensor& n) {
  return config.IsSparse(layer) ? ops.SparseMlp(layer, n, w.sparse)
                                : ops.GatedMlp(n, w.gate_up, w.down);
}

// Runs the model over the batch that `ops` is bound to. Returns the final-normed hidden states
// [num_tokens, hidden_size]; the caller applies `head` to the rows it wants.
template <Ops O, typename Observer = NoObserver>
typename O::Tensor Forward(O& ops, const ModelConfig& config, const ModelWeights<O>& weights,
                           Observer observe = {}) {
  const int64_t num_layers = static_cast<int64_t>(weights.blocks.size());
  auto norm_before = [&](int64_t layer) -> const typename O::Vector& {
    return layer < num_layers ? weights.blocks[layer].input_norm : weights.final_norm;
  };
  typename O::Tensor x = ops.Embed(weights.embed);     // the residual stream
  typename O::Tensor n = ops.Norm(x, norm_before(0));  // what the next branch reads
  for (int64_t i = 0; i < num_layers; ++i) {
    const int layer = static_cast<int>(i);
    const BlockWeights<O>& w = weights.blocks[i];
    observe(Probe::kLayerInput, i, x);
    const typename O::Tensor mixed = MixTokens(ops, config, w, layer, n);
    observe(Probe::kAttention, i, mixed);
    n = ops.AddNorm(x, mixed, w.post_attention_norm);
    const typename O::Tensor mlp = Mlp(ops, config, w, layer, n);
    observe(Probe::kMlp, i, mlp);
    n = ops.AddNorm(x, mlp, norm_before(i + 1));
  }
  observe(Probe::kLayerInput, num_layers, x);
  observe(Probe::kFinal, num_layers, n);
  return n;
}

}  // namespace oneai::models::qwen
