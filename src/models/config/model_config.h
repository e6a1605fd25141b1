// File: models/config/model_config.h
//
// What a checkpoint folder says about its model: `config.json` and `generation_config.json` as
// values. Both forms of config.json load: that of released checkpoints (`rope_theta`,
// `rope_scaling`, `torch_dtype`) and that of transformers 5 (`rope_parameters`, `dtype`,
// `layer_types`). Source: huggingface/transformers, models/<family>/configuration_<family>.py and
// modeling_rope_utils.py (defaults of missing keys are theirs); configuration_qwen.py of Qwen-7B.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/safetensors/dtype.h"

namespace oneai::models {

// The `model_type` of a checkpoint. kQwen is the first generation ("qwen"). kQwen3_5 and
// kQwen3_5Moe are the text parts of those models, whether their configuration is nested in
// `text_config` or flat.
enum class ModelFamily : uint8_t {
  kQwen,
  kQwen2,
  kQwen2Moe,
  kQwen3,
  kQwen3Moe,
  kQwen3Next,
  kQwen3_5,
  kQwen3_5Moe,
  kLlama
};
absl::string_view ModelFamilyName(ModelFamily family);  // the `model_type`: "qwen2_moe", "qwen3_5"

enum class ModelHead { kCausalLm, kSequenceClassification };

enum class RopeScaling { kNone, kYarn, kLlama3 };

// Rotary embedding. The yarn_* fields matter only for kYarn (arXiv:2309.00071), the llama3_* fields
// only for kLlama3 (arXiv:2407.21783); all are resolved, none "unset".
struct RopeConfig {
  double theta = 10000.0;
  double partial_factor = 1.0;  // share of head_dim that is rotated, from its start
  RopeScaling scaling = RopeScaling::kNone;
  double yarn_factor = 1.0;
  int64_t yarn_original_positions = 0;  // context length the model was trained with
  double yarn_beta_fast = 32.0;         // rotations above which a dimension is not interpolated
  double yarn_beta_slow = 1.0;          // rotations below which it is fully interpolated
  double yarn_attention_factor =
      1.0;  // multiplies cos and sin; 0.1 ln(factor) + 1 unless the file says otherwise
  bool yarn_truncate = true;  // round the ramp's ends to whole dimensions
  double llama3_factor = 1.0;
  double llama3_low_frequency_factor = 1.0;   // wavelengths above original / this: slowed by factor
  double llama3_high_frequency_factor = 4.0;  // wavelengths below original / this: kept
  int64_t llama3_original_positions = 0;
  // Qwen-1, in inference only: a prompt longer than ModelConfig::trained_positions raises theta by
  // alpha^(d / (d - 2)), see NtkAlpha in models/ops/rope_frequencies.h.
  bool dynamic_ntk = false;
};

enum class LayerType : uint8_t { kFullAttention, kSlidingAttention, kLinearAttention };

// Sparse MLP layers: `experts_per_token` of `num_experts` gated MLPs, chosen by a router, and
// perhaps one that every token passes.
struct MoeConfig {
  int64_t num_experts = 0;  // 0: all layers are dense
  int64_t experts_per_token = 0;
  int64_t expert_size = 0;            // inner width of one expert (moe_intermediate_size)
  int64_t shared_expert_size = 0;     // inner width of the shared expert; 0: there is none
  bool normalize_weights = false;     // the chosen experts' weights are made to sum to 1
  double aux_loss_weight = 0.001;     // of the load-balancing loss in training
  int64_t sparse_step = 1;            // layer i is sparse only if (i + 1) % sparse_step == 0
  std::vector<int64_t> dense_layers;  // and if it is not one of these, which rise
};

// Layers of type kLinearAttention: Gated DeltaNet (arXiv:2412.06464) behind a short causal
// convolution.
struct DeltaNetConfig {
  int64_t num_key_heads = 0;    // 0: no layer is of this type
  int64_t num_value_heads = 0;  // a multiple of num_key_heads
  int64_t key_dim = 0;          // of a head
  int64_t value_dim = 0;        // of a head
  int64_t conv_kernel = 4;

  int64_t key_width() const { return num_key_heads * key_dim; }
  int64_t value_width() const { return num_value_heads * value_dim; }
  // Channels of the convolution: queries, keys and values.
  int64_t conv_width() const { return 2 * key_width() + value_width(); }
};

struct ModelConfig {
  ModelFamily family = ModelFamily::kQwen3;
  ModelHead head = ModelHead::kCausalLm;
  int64_t num_labels = 0;  // of a kSequenceClassification head

  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;  // inner width of a dense MLP (half of what qwen's file says)
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t max_positions = 32768;

  double rms_norm_eps = 1e-6;
  RopeConfig rope;
  bool tie_word_embeddings = false;
  bool qkv_bias = false;        // q, k, v projections have a bias (all qwen, qwen2, qwen2_moe)
  bool output_bias = false;     // so has o_proj (qwen3 and llama with attention_bias)
  bool qk_norm = false;         // RMSNorm over head_dim on q and k before rope (qwen3 and later)
  bool attention_gate = false;  // q_proj is [query | gate] per head; out *= sigmoid(gate)
  // Norms multiply by 1 + weight (qwen3_next, qwen3_5), but for DeltaNet's own.
  bool zero_centered_norms = false;
  // Qwen-1, in inference only: queries beyond trained_positions are scaled by
  // log(position + 1) / log(trained_positions).
  bool log_n_attention = false;
  int64_t trained_positions = 0;  // `seq_length` of qwen; 0 elsewhere
  int64_t sliding_window =
      0;  // keys a sliding layer sees, the query's own included; 0 when no layer slides
  std::vector<LayerType> layer_types;  // [num_layers]
  MoeConfig moe;
  DeltaNetConfig delta_net;
  // Layers of the multi-token-prediction head that the files of a qwen3_next, qwen3_5 or
  // qwen3_5_moe hold beside the model, as its config.json claims it (`mtp_num_hidden_layers`).
  int64_t num_mtp_layers = 0;
  // Layers of a multi-token-prediction head that the model was loaded with; each has a place in the
  // KV cache after those of the model. Set by CpuModel, which sees what the weights hold.
  int64_t num_draft_layers = 0;

  DType dtype = DType::kF32;  // of the stored weights, as the file claims it
  double initializer_range = 0.02;
  std::optional<int64_t> bos_token_id;
  std::vector<int64_t> eos_token_ids;  // none, one or several
  std::optional<int64_t> pad_token_id;

  // Leading elements of a head that are rotated; even.
  int64_t rotary_dim() const {
    return static_cast<int64_t>(static_cast<double>(head_dim) * rope.partial_factor);
  }
  // Rows of q_proj.
  int64_t query_width() const { return num_heads * head_dim * (attention_gate ? 2 : 1); }
  // Whether layer `layer` has experts.
  bool IsSparse(int64_t layer) const;
  bool HasLayer(LayerType type) const;
  // Layers that keep keys and values: all but those of linear attention, and the draft layers.
  int64_t num_kv_layers() const;
};

// Parses the text of a config.json. `what` names it in errors.
// Unimplemented: a model_type, head, rope type, activation or quantisation that is not supported,
// naming it and what is. (How quantised weights are read is models/weights' business.)
// InvalidArgument: a key that is missing, of the wrong type, out of range or contradicts another.
absl::StatusOr<ModelConfig> ParseModelConfig(absl::string_view json, absl::string_view what);

// ParseModelConfig of `<folder>/config.json`. NotFound when there is none.
absl::StatusOr<ModelConfig> LoadModelConfig(const std::filesystem::path& folder);

// Checks ranges and consistency, for configs that were built rather than parsed. InvalidArgument
// names the key.
absl::Status ValidateModelConfig(const ModelConfig& config);

// config.json in the form of released checkpoints; ParseModelConfig of it gives `config` back. The
// qwen3_5 families are written flat, as their text part alone ("qwen3_5_text").
std::string ToHfJson(const ModelConfig& config);

// generation_config.json: how the author wants text sampled. Unset fields stay unset.
struct GenerationConfig {
  std::optional<int64_t> bos_token_id;
  std::vector<int64_t> eos_token_ids;
  std::optional<int64_t> pad_token_id;
  std::optional<bool> do_sample;
  std::optional<double> temperature;         // >= 0
  std::optional<double> top_p;               // (0, 1]
  std::optional<int64_t> top_k;              // >= 0, 0 is off
  std::optional<double> repetition_penalty;  // > 0
  std::optional<int64_t> max_new_tokens;     // >= 1
};

// Errors as ParseModelConfig. Keys that oneai does not use are ignored: the file is advice, not a
// contract.
absl::StatusOr<GenerationConfig> ParseGenerationConfig(absl::string_view json,
                                                       absl::string_view what);
// `<folder>/generation_config.json`; NotFound when there is none.
absl::StatusOr<GenerationConfig> LoadGenerationConfig(const std::filesystem::path& folder);
std::string ToHfJson(const GenerationConfig& config);

}  // namespace oneai::models
