// File: models/config/model_config.h
//
// What a checkpoint folder says about its model: `config.json` and `generation_config.json` as
// values. Both forms of config.json load: that of released checkpoints (`rope_theta`,
// `rope_scaling`, `torch_dtype`) and that of transformers 5 (`rope_parameters`, `dtype`,
// `layer_types`). Source: huggingface/transformers, models/qwen2/configuration_qwen2.py,
// models/qwen3/configuration_qwen3.py and modeling_rope_utils.py (defaults of missing keys are
// theirs).
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

enum class ModelFamily { kQwen2, kQwen3 };
absl::string_view ModelFamilyName(ModelFamily family);  // the `model_type`: "qwen2", "qwen3"

enum class ModelHead { kCausalLm, kSequenceClassification };

enum class RopeScaling { kNone, kYarn };

// Rotary embedding. The yarn_* fields matter only for kYarn (arXiv:2309.00071); all are resolved,
// none "unset".
struct RopeConfig {
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::kNone;
  double yarn_factor = 1.0;
  int64_t yarn_original_positions = 0;  // context length the model was trained with
  double yarn_beta_fast = 32.0;         // rotations above which a dimension is not interpolated
  double yarn_beta_slow = 1.0;          // rotations below which it is fully interpolated
  double yarn_attention_factor =
      1.0;  // multiplies cos and sin; 0.1 ln(factor) + 1 unless the file says otherwise
  bool yarn_truncate = true;  // round the ramp's ends to whole dimensions
};

enum class LayerType : uint8_t { kFullAttention, kSlidingAttention };

struct ModelConfig {
  ModelFamily family = ModelFamily::kQwen3;
  ModelHead head = ModelHead::kCausalLm;
  int64_t num_labels = 0;  // of a kSequenceClassification head

  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t max_positions = 32768;

  double rms_norm_eps = 1e-6;
  RopeConfig rope;
  bool tie_word_embeddings = false;
  bool qkv_bias = false;     // q, k, v projections have a bias (all qwen2)
  bool output_bias = false;  // so has o_proj (qwen3 with attention_bias)
  bool qk_norm = false;      // RMSNorm over head_dim on q and k before rope (all qwen3)
  int64_t sliding_window =
      0;  // keys a sliding layer sees, the query's own included; 0 when no layer slides
  std::vector<LayerType> layer_types;  // [num_layers]

  DType dtype = DType::kF32;  // of the stored weights, as the file claims it
  double initializer_range = 0.02;
  std::optional<int64_t> bos_token_id;
  std::vector<int64_t> eos_token_ids;  // none, one or several
  std::optional<int64_t> pad_token_id;
};

// Parses the text of a config.json. `what` names it in errors.
// Unimplemented: a model_type, head, rope type, activation or quantisation that is not supported,
// naming it and what is. InvalidArgument: a key that is missing, of the wrong type, out of range or
// contradicts another.
absl::StatusOr<ModelConfig> ParseModelConfig(absl::string_view json, absl::string_view what);

// ParseModelConfig of `<folder>/config.json`. NotFound when there is none.
absl::StatusOr<ModelConfig> LoadModelConfig(const std::filesystem::path& folder);

// Checks ranges and consistency, for configs that were built rather than parsed. InvalidArgument
// names the key.
absl::Status ValidateModelConfig(const ModelConfig& config);

// config.json in the form of released checkpoints; ParseModelConfig of it gives `config` back.
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
