// File: models/config/config_fields.h
//
// Inside this folder: the parts of a config.json that several families share, and their readers.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/config/model_config.h"
#include "models/json/json_reader.h"

namespace oneai::models {

// Far above any model that exists; they keep every later product of extents inside int64.
inline constexpr IntRange kWidthRange = {1, 1 << 22};
inline constexpr IntRange kCountRange = {1, 1 << 14};
inline constexpr IntRange kPositionsRange = {1, int64_t{1} << 40};
inline constexpr IntRange kVocabRange = {1, 1 << 26};

// Unimplemented "<document>: <path of key> '<found>' is not supported; supported: ...".
absl::Status Unsupported(const JsonObject& root, absl::string_view key, absl::string_view found,
                         absl::string_view supported);

// `architectures`: "<prefix>ForCausalLM", "<prefix>Model" and "<prefix>ForSequenceClassification",
// and `other` where there is one. Without the key a causal language model.
absl::Status ReadHead(const JsonObject& root, absl::string_view prefix, absl::string_view other,
                      ModelConfig& config);

// Sizes of the dense decoder; `head_dim` is its default where the key is missing, 0: hidden_size /
// num_attention_heads, which then must divide.
absl::Status ReadSizes(const JsonObject& root, int64_t head_dim, ModelConfig& config);

// rope_theta, rope_scaling or rope_parameters. `partial_factor` is the default of
// partial_rotary_factor.
absl::StatusOr<RopeConfig> ReadRope(const JsonObject& root, int64_t max_positions,
                                    double partial_factor);

// layer_types, or use_sliding_window and max_window_layers: full and sliding layers.
absl::Status ReadSlidingLayers(const JsonObject& root, ModelConfig& config);

// layer_types, or full_attention_interval: full and linear layers, and the sizes of DeltaNet.
absl::Status ReadHybridLayers(const JsonObject& root, ModelConfig& config);

// The keys of sparse layers. `normalize` is the default of norm_topk_prob.
absl::Status ReadMoe(const JsonObject& root, bool normalize, ModelConfig& config);

absl::StatusOr<DType> ReadDType(const JsonObject& root);
absl::Status ReadSpecialTokens(const JsonObject& root, std::optional<int64_t>& bos,
                               std::vector<int64_t>& eos, std::optional<int64_t>& pad);

// One family's config.json; `text` is the object with the text model's keys, which is `root` unless
// they are nested. `config.family` is set. ParseModelConfig reads what all have in common.
absl::Status ReadQwen1(const JsonObject& root, ModelConfig& config);
absl::Status ReadQwen2And3(const JsonObject& root, ModelConfig& config);
absl::Status ReadHybrid(const JsonObject& root, const JsonObject& text, ModelConfig& config);
absl::Status ReadLlama(const JsonObject& root, ModelConfig& config);

}  // namespace oneai::models
