// File: models/qwen/mtp.h
//
// The multi-token-prediction head of Qwen3-Next and Qwen3.5 checkpoints (`mtp.*`): a layer that
// guesses one token further than the model has computed, for speculative decoding. Source:
// arXiv:2412.19437 section 2.2; the order of its parts as vLLM's qwen3_next_mtp has it.
#pragma once

#include <cstdint>

#include "models/config/model_config.h"
#include "models/ops/ops.h"
#include "models/qwen/forward.h"

namespace oneai::models::qwen {

// Ops with the head's own step:
//   FuseDraft(e, norm_e, h, norm_h, fc)  fc([Norm(e, norm_e) | Norm(h, norm_h)]), a residual stream
//                                        that may be added to
template <typename O>
concept DraftOps = Ops<O> &&
    requires(O ops, const typename O::Tensor& x, const typename O::Vector& norm,
             const typename O::Linear& fc) {
  { ops.FuseDraft(x, norm, x, norm, fc) } -> std::same_as<typename O::Tensor>;
};

// The draft layer's number where the model's layers are counted: one past the last.
inline int DraftLayer(const ModelConfig& config) { return static_cast<int>(config.num_layers); }

// Row t of the batch `ops` is bound to is the token at position p + 1 (`tokens`), placed at
// position p (`positions`, its place in the draft layer's KV cache); hidden[t] is the model's
// final-normed state of position p. Returns the normed states [num_tokens, hidden_size] whose
// product with the model's head predicts position p + 2; they can stand for hidden[t + 1] in a
// further guess. The observer sees fc's output as the input of layer num_layers, and the layer's as
// that of num_layers + 1.
template <DraftOps O, typename Observer = NoObserver>
typename O::Tensor Draft(O& ops, const ModelConfig& config, const typename O::Embedding& embed,
                         const MtpWeights<O>& mtp, const typename O::Tensor& hidden,
                         Observer observe = {}) {
  const int layer = DraftLayer(config);
  const BlockWeights<O>& w = mtp.block;
  typename O::Tensor x =
      ops.FuseDraft(ops.Embed(embed), mtp.embedding_norm, hidden, mtp.hidden_norm, mtp.fc);
  observe(Probe::kLayerInput, layer, x);
  typename O::Tensor n = ops.Norm(x, w.input_norm);
  n = ops.AddNorm(x, Attend(ops, config, w, layer, /*window=*/0, n), w.post_attention_norm);
  const typename O::Tensor mlp = config.moe.num_experts > 0 ? ops.SparseMlp(layer, n, w.sparse)
                                                            : ops.GatedMlp(n, w.gate_up, w.down);
  n = ops.AddNorm(x, mlp, mtp.final_norm);
  observe(Probe::kLayerInput, layer + 1, x);
  return n;
}

}  // namespace oneai::models::qwen
