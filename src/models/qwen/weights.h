// File: models/qwen/weights.h
//
// Names, shapes and initial values of a Qwen2/Qwen3 model's tensors: the only place that knows how
// checkpoints spell them. Source: the released Qwen2, Qwen2.5 and Qwen3 safetensors files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "models/config/model_config.h"
#include "models/qwen/forward.h"
#include "models/safetensors/checkpoint.h"

namespace oneai::models::qwen {

// How a weight of an untrained model starts: normal(0, initializer_range), or all ones or zeros.
enum class Init { kNormal, kOnes, kZeros };

struct WeightSpec {
  std::string name;
  std::vector<int64_t> shape;
  Init init = Init::kNormal;
};

// Every tensor of `config`'s model, embeddings first, then layer by layer. A tied model has no
// lm_head.weight; a sequence classifier has score.weight in its place.
std::vector<WeightSpec> WeightTable(const ModelConfig& config);

inline constexpr absl::string_view kEmbedding = "model.embed_tokens.weight";
inline constexpr absl::string_view kFinalNorm = "model.norm.weight";
inline constexpr absl::string_view kLmHead = "lm_head.weight";
inline constexpr absl::string_view kScore = "score.weight";

// The stored tensor of every WeightTable entry, by its name there. Views borrow the checkpoint.
using StoredWeights = absl::flat_hash_map<std::string, TensorView>;

// Matches a checkpoint against the table: every tensor present, with exactly its shape and of a
// floating-point dtype, and none left over. Files of a bare model (no "model." before the names, as
// embedding models are released) match too. A tied model may store lm_head.weight if it equals the
// embedding. Old rotary_emb.inv_freq buffers are ignored. InvalidArgument names the source and up
// to three offending tensors.
absl::StatusOr<StoredWeights> MatchCheckpoint(const ModelConfig& config,
                                              const Checkpoint& checkpoint);

// Name of the matrix at the output: kLmHead, kScore, or kEmbedding when tied.
absl::string_view HeadName(const ModelConfig& config);

// Assembles a model from a `Source`, which turns names into the types of its Ops:
//   StatusOr<O::Vector>    Vector(name)
//   StatusOr<O::Embedding> Embedding(name)
//   StatusOr<O::Linear>    Linear(weight_name, bias_name), bias_name "" where there is none
//   StatusOr<O::GateUp>    GateUp(gate_name, up_name)
template <Ops O, typename Source>
absl::StatusOr<ModelWeights<O>> BindWeights(const ModelConfig& config, Source& source) {
  ModelWeights<O> model;
  ASSIGN_OR_RETURN(model.embed, source.Embedding(std::string(kEmbedding)));
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const std::string block = absl::StrCat("model.layers.", layer, ".");
    const std::string attn = block + "self_attn.", mlp = block + "mlp.";
    auto linear = [&](absl::string_view name, bool with_bias) {
      const std::string bias = with_bias ? absl::StrCat(attn, name, ".bias") : "";
      return source.Linear(absl::StrCat(attn, name, ".weight"), bias);
    };
    BlockWeights<O>& w = model.blocks.emplace_back();
    ASSIGN_OR_RETURN(w.input_norm, source.Vector(block + "input_layernorm.weight"));
    ASSIGN_OR_RETURN(w.q, linear("q_proj", config.qkv_bias));
    ASSIGN_OR_RETURN(w.k, linear("k_proj", config.qkv_bias));
    ASSIGN_OR_RETURN(w.v, linear("v_proj", config.qkv_bias));
    ASSIGN_OR_RETURN(w.o, linear("o_proj", config.output_bias));
    if (config.qk_norm) {
      ASSIGN_OR_RETURN(w.q_norm, source.Vector(attn + "q_norm.weight"));
      ASSIGN_OR_RETURN(w.k_norm, source.Vector(attn + "k_norm.weight"));
    }
    ASSIGN_OR_RETURN(w.post_attention_norm,
                     source.Vector(block + "post_attention_layernorm.weight"));
    ASSIGN_OR_RETURN(w.gate_up, source.GateUp(mlp + "gate_proj.weight", mlp + "up_proj.weight"));
    ASSIGN_OR_RETURN(w.down, source.Linear(mlp + "down_proj.weight", ""));
  }
  ASSIGN_OR_RETURN(model.final_norm, source.Vector(std::string(kFinalNorm)));
  ASSIGN_OR_RETURN(model.head, source.Linear(std::string(HeadName(config)), ""));
  return model;
}

}  // namespace oneai::models::qwen
