// File: models/qwen/weights.h
//
// Names, shapes and initial values of a model's tensors: with block_names.h the only place that
// knows how checkpoints spell them. Source: the released safetensors files of each family.
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
#include "models/qwen/block_names.h"
#include "models/qwen/forward.h"
#include "models/safetensors/checkpoint.h"
#include "models/weights/weight_source.h"

namespace oneai::models::qwen {

// How a weight of an untrained model starts: normal(0, initializer_range), all ones or zeros, or
// (DeltaNet's A_log) the logarithm of a uniform number in (0, 16).
enum class Init { kNormal, kOnes, kZeros, kLogUniform };

struct WeightSpec {
  std::string name;
  std::vector<int64_t> shape;
  Init init = Init::kNormal;
};

// Every tensor of `config`'s model, embeddings first, then layer by layer. A tied model has no
// lm_head.weight; a sequence classifier has score.weight in its place. Names are those of a
// text-only checkpoint ("model.layers.0...").
std::vector<WeightSpec> WeightTable(const ModelConfig& config);

// The tensors of the multi-token-prediction head that files of the hybrid families (qwen3_next,
// qwen3_5, qwen3_5_moe) may hold besides; empty for other families.
std::vector<WeightSpec> MtpTable(const ModelConfig& config);

inline constexpr absl::string_view kEmbedding = "model.embed_tokens.weight";
inline constexpr absl::string_view kFinalNorm = "model.norm.weight";
inline constexpr absl::string_view kLmHead = "lm_head.weight";
inline constexpr absl::string_view kScore = "score.weight";

// Names in the table; those above, but for qwen.
absl::string_view EmbeddingName(const ModelConfig& config);
absl::string_view FinalNormName(const ModelConfig& config);
// Name of the matrix at the output: kLmHead, kScore, or the embedding when tied.
absl::string_view HeadName(const ModelConfig& config);

// What a file holds for every WeightTable entry (and MtpTable entry, where the file has them), by
// its name there.
using StoredWeights = absl::flat_hash_map<std::string, WeightInfo>;

// Matches weights against the tables: every tensor present, with exactly its shape and of a
// floating-point or quantised type, and none left over. Files of a bare model (no "model." before
// the names, as embedding models are released) and of a vision-language model ("model.
// language_model." in its place, beside "model.visual." which is passed over) match too. The
// tensors of MtpTable are all there or none. A tied model may store lm_head.weight if it equals the
// embedding. Old rotary_emb.inv_freq buffers are ignored. InvalidArgument names the source and up
// to three offending tensors.
absl::StatusOr<StoredWeights> MatchCheckpoint(const ModelConfig& config,
                                              const WeightSource& source);
absl::StatusOr<StoredWeights> MatchCheckpoint(const ModelConfig& config,
                                              const Checkpoint& checkpoint);

// Tensors of `source` that belong to a vision tower, which are passed over: only text is supported.
int64_t NumVisionTensors(const WeightSource& source);

// Whether `source` holds a multi-token-prediction head for a model of `config`.
bool HasMtp(const ModelConfig& config, const WeightSource& source);

// Assembles one layer from a `Source`, which turns names into the types of its Ops:
//   StatusOr<O::Vector>        Vector(name)        as it is stored
//   StatusOr<O::Vector>        Norm(name)          the weight of a norm that zero_centered_norms is
//                                                  about
//   StatusOr<O::Embedding>     Embedding(name)
//   StatusOr<O::Linear>        Linear(weight_name, bias_name), bias_name "" where there is none
//   StatusOr<O::StackedLinear> Stacked(parts, bias_parts), bias_parts empty where there are none
//   StatusOr<O::StackedLinear> Router(parts)       the router, in float32 where O can choose
//   StatusOr<O::Experts>       Experts(gate_up_parts, down_part): one entry per expert
template <Ops O, typename Source>
absl::StatusOr<BlockWeights<O>> BindBlock(const BlockNames& names, Source& source) {
  BlockWeights<O> w;
  ASSIGN_OR_RETURN(w.input_norm, source.Norm(names.input_norm));
  ASSIGN_OR_RETURN(w.post_attention_norm, source.Norm(names.post_attention_norm));
  if (!names.qkv.empty()) {
    ASSIGN_OR_RETURN(w.qkv, source.Stacked(names.qkv, names.qkv_bias));
    ASSIGN_OR_RETURN(w.o, source.Linear(names.o, names.o_bias));
  }
  if (!names.q_norm.empty()) {
    ASSIGN_OR_RETURN(w.q_norm, source.Norm(names.q_norm));
    ASSIGN_OR_RETURN(w.k_norm, source.Norm(names.k_norm));
  }
  if (!names.qkvz.empty()) {
    ASSIGN_OR_RETURN(w.delta_net.qkvz, source.Stacked(names.qkvz, {}));
    ASSIGN_OR_RETURN(w.delta_net.ba, source.Stacked(names.ba, {}));
    ASSIGN_OR_RETURN(w.delta_net.conv, source.Vector(names.conv));
    ASSIGN_OR_RETURN(w.delta_net.a_log, source.Vector(names.a_log));
    ASSIGN_OR_RETURN(w.delta_net.dt_bias, source.Vector(names.dt_bias));
    ASSIGN_OR_RETURN(w.delta_net.norm, source.Vector(names.delta_norm));
    ASSIGN_OR_RETURN(w.delta_net.out, source.Linear(names.delta_out, ""));
  }
  if (!names.gate_up.empty()) {
    ASSIGN_OR_RETURN(w.gate_up, source.Stacked(names.gate_up, {}));
    ASSIGN_OR_RETURN(w.down, source.Linear(names.down, ""));
  }
  if (!names.router.empty()) {
    ASSIGN_OR_RETURN(w.sparse.router, source.Router(names.router));
    ASSIGN_OR_RETURN(w.sparse.experts, source.Experts(names.expert_gate_up, names.expert_down));
  }
  if (!names.shared_gate_up.empty()) {
    ASSIGN_OR_RETURN(w.sparse.shared_gate_up, source.Stacked(names.shared_gate_up, {}));
    ASSIGN_OR_RETURN(w.sparse.shared_down, source.Linear(names.shared_down, ""));
  }
  return w;
}

// Assembles a model from a `Source` as BindBlock describes it.
template <Ops O, typename Source>
absl::StatusOr<ModelWeights<O>> BindWeights(const ModelConfig& config, Source& source) {
  ModelWeights<O> model;
  ASSIGN_OR_RETURN(model.embed, source.Embedding(std::string(EmbeddingName(config))));
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    ASSIGN_OR_RETURN(BlockWeights<O> block, BindBlock<O>(NamesOfLayer(config, layer), source));
    model.blocks.push_back(std::move(block));
  }
  ASSIGN_OR_RETURN(model.final_norm, source.Norm(std::string(FinalNormName(config))));
  ASSIGN_OR_RETURN(model.head, source.Linear(std::string(HeadName(config)), ""));
  return model;
}

// Assembles the multi-token-prediction head; only when the file has one.
template <Ops O, typename Source>
absl::StatusOr<MtpWeights<O>> BindMtp(const ModelConfig& config, Source& source) {
  MtpWeights<O> mtp;
  ASSIGN_OR_RETURN(mtp.embedding_norm, source.Norm("mtp.pre_fc_norm_embedding.weight"));
  ASSIGN_OR_RETURN(mtp.hidden_norm, source.Norm("mtp.pre_fc_norm_hidden.weight"));
  ASSIGN_OR_RETURN(mtp.fc, source.Linear("mtp.fc.weight", ""));
  ASSIGN_OR_RETURN(mtp.block, BindBlock<O>(NamesOfMtpLayer(config), source));
  ASSIGN_OR_RETURN(mtp.final_norm, source.Norm("mtp.norm.weight"));
  return mtp;
}

}  // namespace oneai::models::qwen
