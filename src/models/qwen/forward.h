// File: models/qwen/forward.h
//
// The mathematics of the dense Qwen2 and Qwen3 models, written once for training and serving. They
// are one architecture: a pre-norm decoder with grouped-query attention and a gated MLP. Qwen2 has
// biases on q, k and v and may have sliding layers; Qwen3 norms q and k and gives heads a size of
// their own. All of it is in ModelConfig. Source: arXiv:2407.10671 (Qwen2), arXiv:2505.09388
// (Qwen3).
#pragma once

#include <cstdint>
#include <vector>

#include "models/config/model_config.h"
#include "models/ops/ops.h"

namespace oneai::models::qwen {

// The weights of one decoder layer, as `O` stores them. Made by BindWeights
// (models/qwen/weights.h).
template <Ops O>
struct BlockWeights {
  typename O::Vector input_norm;  // [hidden_size]
  typename O::Linear q, k, v;  // [heads * head_dim, hidden_size]; k, v: [kv heads * head_dim, ...]
  typename O::Vector q_norm, k_norm;       // [head_dim], only with qk_norm
  typename O::Linear o;                    // [hidden_size, heads * head_dim]
  typename O::Vector post_attention_norm;  // [hidden_size]
  typename O::GateUp gate_up;              // 2 x [intermediate_size, hidden_size]
  typename O::Linear down;                 // [hidden_size, intermediate_size]
};

template <Ops O>
struct ModelWeights {
  typename O::Embedding embed;  // [vocab_size, hidden_size]
  std::vector<BlockWeights<O>> blocks;
  typename O::Vector final_norm;  // [hidden_size]
  typename O::Linear head;        // [vocab_size, hidden_size]; the embedding's matrix when tied
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

// attn(n): n [num_tokens, hidden_size] is the normed residual stream.
template <Ops O>
typename O::Tensor Attend(O& ops, const ModelConfig& config, const BlockWeights<O>& w, int layer,
                          const typename O::Tensor& n) {
  Qkv<typename O::Tensor> qkv = ops.ProjectQkv(n, w.q, w.k, w.v);
  if (config.qk_norm) ops.QkNorm(qkv, w.q_norm, w.k_norm);
  ops.Rope(qkv);
  const bool slides = config.layer_types[layer] == LayerType::kSlidingAttention;
  return ops.Project(ops.Attention(layer, qkv, slides ? config.sliding_window : 0), w.o);
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
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    const BlockWeights<O>& w = weights.blocks[layer];
    observe(Probe::kLayerInput, layer, x);
    const typename O::Tensor attended = Attend(ops, config, w, static_cast<int>(layer), n);
    observe(Probe::kAttention, layer, attended);
    n = ops.AddNorm(x, attended, w.post_attention_norm);
    const typename O::Tensor mlp = ops.GatedMlp(n, w.gate_up, w.down);
    observe(Probe::kMlp, layer, mlp);
    n = ops.AddNorm(x, mlp, norm_before(layer + 1));
  }
  observe(Probe::kLayerInput, num_layers, x);
  observe(Probe::kFinal, num_layers, n);
  return n;
}

}  // namespace oneai::models::qwen
