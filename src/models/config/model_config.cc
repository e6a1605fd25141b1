#include "models/config/model_config.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "models/config/config_fields.h"
#include "models/json/json_reader.h"

namespace oneai::models {
namespace {

struct FamilyName {
  absl::string_view model_type;
  ModelFamily family;
};
// The first name of a family is the one that is written for people.
constexpr std::array<FamilyName, 11> kFamilies = {{{"qwen", ModelFamily::kQwen},
                                                   {"qwen2", ModelFamily::kQwen2},
                                                   {"qwen2_moe", ModelFamily::kQwen2Moe},
                                                   {"qwen3", ModelFamily::kQwen3},
                                                   {"qwen3_moe", ModelFamily::kQwen3Moe},
                                                   {"qwen3_next", ModelFamily::kQwen3Next},
                                                   {"qwen3_5", ModelFamily::kQwen3_5},
                                                   {"qwen3_5_text", ModelFamily::kQwen3_5},
                                                   {"qwen3_5_moe", ModelFamily::kQwen3_5Moe},
                                                   {"qwen3_5_moe_text", ModelFamily::kQwen3_5Moe},
                                                   {"llama", ModelFamily::kLlama}}};

absl::StatusOr<ModelFamily> ReadFamily(const JsonObject& root) {
  ASSIGN_OR_RETURN(const std::string type, root.String("model_type"));
  const auto* found = std::ranges::find(kFamilies, type, &FamilyName::model_type);
  if (found != kFamilies.end()) return found->family;
  return Unsupported(root, "model_type", type,
                     absl::StrJoin(kFamilies, ", ", [](std::string* out, const FamilyName& f) {
                       absl::StrAppend(out, f.model_type);
                     }));
}

// Settings that change the mathematics and are not implemented must not be ignored.
absl::Status RefuseUnsupported(const JsonObject& root) {
  ASSIGN_OR_RETURN(std::string activation, root.StringOr("hidden_act", "silu"));
  if (activation != "silu") return Unsupported(root, "hidden_act", activation, "silu");
  if (root.Has("quantization_config")) {
    ASSIGN_OR_RETURN(const JsonObject quantization, root.Object("quantization_config"));
    ASSIGN_OR_RETURN(const std::string method, quantization.StringOr("quant_method", ""));
    if (method != "fp8" && method != "gptq" && method != "awq")
      return Unsupported(quantization, "quant_method", method, "fp8, gptq, awq");
  }
  ASSIGN_OR_RETURN(bool use_mrope, root.BoolOr("use_mrope", false));
  if (use_mrope) return Unsupported(root, "use_mrope", "true", "false");
  return absl::OkStatus();
}

absl::Status CheckSpecialToken(int64_t id, int64_t vocab_size, absl::string_view key) {
  if (id >= 0 && id < vocab_size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("key '", key, "': ", id, " is outside the vocabulary of ", vocab_size));
}

absl::Status Check(bool ok, absl::string_view key, absl::string_view message) {
  return ok ? absl::OkStatus()
            : absl::InvalidArgumentError(absl::StrCat("key '", key, "': ", message));
}

absl::Status ValidateMoe(const ModelConfig& config) {
  const MoeConfig& moe = config.moe;
  if (moe.num_experts == 0) return absl::OkStatus();
  RETURN_IF_ERROR(Check(moe.num_experts > 0, "num_experts", "must not be negative"));
  RETURN_IF_ERROR(Check(moe.experts_per_token > 0 && moe.experts_per_token <= moe.num_experts,
                        "num_experts_per_tok", "must be between 1 and num_experts"));
  RETURN_IF_ERROR(Check(moe.expert_size > 0, "moe_intermediate_size", "must be positive"));
  RETURN_IF_ERROR(Check(moe.shared_expert_size >= 0, "shared_expert_intermediate_size",
                        "must not be negative"));
  RETURN_IF_ERROR(Check(moe.aux_loss_weight >= 0 && moe.aux_loss_weight <= 1e6,
                        "router_aux_loss_coef", "must be between 0 and 1000000"));
  RETURN_IF_ERROR(Check(moe.sparse_step > 0, "decoder_sparse_step", "must be positive"));
  return Check(std::ranges::is_sorted(moe.dense_layers), "mlp_only_layers", "must rise");
}

absl::Status ValidateDeltaNet(const ModelConfig& config) {
  const DeltaNetConfig& d = config.delta_net;
  const bool linear = config.HasLayer(LayerType::kLinearAttention);
  RETURN_IF_ERROR(Check(linear == (d.num_key_heads > 0), "linear_num_key_heads",
                        "must be set exactly when a layer is linear_attention"));
  if (!linear) return absl::OkStatus();
  RETURN_IF_ERROR(Check(d.num_value_heads > 0 && d.num_value_heads % d.num_key_heads == 0,
                        "linear_num_value_heads",
                        absl::StrCat("must be a multiple of linear_num_key_heads ", d.num_key_heads,
                                     ", found ", d.num_value_heads)));
  RETURN_IF_ERROR(Check(d.key_dim > 0, "linear_key_head_dim", "must be positive"));
  RETURN_IF_ERROR(Check(d.value_dim > 0, "linear_value_head_dim", "must be positive"));
  return Check(d.conv_kernel > 0, "linear_conv_kernel_dim", "must be positive");
}

}  // namespace

absl::string_view ModelFamilyName(ModelFamily family) {
  return std::ranges::find(kFamilies, family, &FamilyName::family)->model_type;
}

bool ModelConfig::IsSparse(int64_t layer) const {
  return moe.num_experts > 0 && (layer + 1) % moe.sparse_step == 0 &&
         !std::ranges::binary_search(moe.dense_layers, layer);
}

bool ModelConfig::HasLayer(LayerType type) const {
  return std::ranges::find(layer_types, type) != layer_types.end();
}

int64_t ModelConfig::num_kv_layers() const {
  return num_layers - std::ranges::count(layer_types, LayerType::kLinearAttention) +
         num_draft_layers;
}

absl::Status ValidateModelConfig(const ModelConfig& config) {
  RETURN_IF_ERROR(Check(config.vocab_size > 0, "vocab_size", "must be positive"));
  RETURN_IF_ERROR(Check(config.hidden_size > 0, "hidden_size", "must be positive"));
  RETURN_IF_ERROR(Check(config.intermediate_size > 0, "intermediate_size", "must be positive"));
  RETURN_IF_ERROR(Check(config.num_layers > 0, "num_hidden_layers", "must be positive"));
  RETURN_IF_ERROR(Check(config.num_heads > 0, "num_attention_heads", "must be positive"));
  RETURN_IF_ERROR(Check(config.num_kv_heads > 0 && config.num_heads % config.num_kv_heads == 0,
                        "num_key_value_heads",
                        absl::StrCat("must divide num_attention_heads ", config.num_heads,
                                     ", found ", config.num_kv_heads)));
  RETURN_IF_ERROR(
      Check(config.head_dim > 0 && config.head_dim % 2 == 0, "head_dim",
            absl::StrCat("must be positive and even (rotary pairs), found ", config.head_dim)));
  RETURN_IF_ERROR(Check(config.max_positions > 0, "max_position_embeddings", "must be positive"));
  RETURN_IF_ERROR(Check(config.rms_norm_eps > 0 && config.rms_norm_eps < 1, "rms_norm_eps",
                        absl::StrCat("must be between 0 and 1, found ", config.rms_norm_eps)));
  RETURN_IF_ERROR(Check(config.initializer_range > 0 && config.initializer_range <= 1,
                        "initializer_range", "must be above 0 and at most 1"));
  RETURN_IF_ERROR(Check(static_cast<int64_t>(config.layer_types.size()) == config.num_layers,
                        "layer_types", "must have one entry per layer"));
  const int64_t rotary_dim = config.rotary_dim();
  RETURN_IF_ERROR(Check(rotary_dim > 0 && rotary_dim % 2 == 0, "partial_rotary_factor",
                        absl::StrCat("must leave a positive and even number of the ",
                                     config.head_dim, " dimensions, leaves ", rotary_dim)));
  RETURN_IF_ERROR(Check((!config.rope.dynamic_ntk && !config.log_n_attention) ||
                            (config.trained_positions > 1 && config.head_dim > 2),
                        "seq_length", "must be above 1 for dynamic NTK and log-n attention"));
  RETURN_IF_ERROR(ValidateMoe(config));
  RETURN_IF_ERROR(ValidateDeltaNet(config));
  const bool slides = config.HasLayer(LayerType::kSlidingAttention);
  RETURN_IF_ERROR(Check(slides == (config.sliding_window > 0), "sliding_window",
                        "must be set exactly when a layer slides"));
  RETURN_IF_ERROR(Check(config.head != ModelHead::kSequenceClassification || config.num_labels > 0,
                        "id2label", "a sequence classifier needs labels"));
  if (config.bos_token_id)
    RETURN_IF_ERROR(CheckSpecialToken(*config.bos_token_id, config.vocab_size, "bos_token_id"));
  for (int64_t id : config.eos_token_ids)
    RETURN_IF_ERROR(CheckSpecialToken(id, config.vocab_size, "eos_token_id"));
  if (config.pad_token_id)
    RETURN_IF_ERROR(CheckSpecialToken(*config.pad_token_id, config.vocab_size, "pad_token_id"));
  return absl::OkStatus();
}

absl::StatusOr<ModelConfig> ParseModelConfig(absl::string_view json, absl::string_view what) {
  ASSIGN_OR_RETURN(Json document, ParseJson(json, what));
  ASSIGN_OR_RETURN(JsonObject root, JsonObject::From(document, what));
  ModelConfig config;
  ASSIGN_OR_RETURN(config.family, ReadFamily(root));
  const bool nested =
      (config.family == ModelFamily::kQwen3_5 || config.family == ModelFamily::kQwen3_5Moe) &&
      root.Has("text_config");
  ASSIGN_OR_RETURN(const JsonObject text, nested ? root.Object("text_config") : root);
  RETURN_IF_ERROR(RefuseUnsupported(root));
  if (nested) RETURN_IF_ERROR(RefuseUnsupported(text));
  switch (config.family) {
    case ModelFamily::kQwen:
      RETURN_IF_ERROR(ReadQwen1(root, config));
      break;
    case ModelFamily::kQwen2:
    case ModelFamily::kQwen2Moe:
    case ModelFamily::kQwen3:
    case ModelFamily::kQwen3Moe:
      RETURN_IF_ERROR(ReadQwen2And3(root, config));
      break;
    case ModelFamily::kQwen3Next:
    case ModelFamily::kQwen3_5:
    case ModelFamily::kQwen3_5Moe:
      RETURN_IF_ERROR(ReadHybrid(root, text, config));
      break;
    case ModelFamily::kLlama:
      RETURN_IF_ERROR(ReadLlama(root, config));
      break;
  }
  const char* epsilon = config.family == ModelFamily::kQwen ? "layer_norm_epsilon" : "rms_norm_eps";
  ASSIGN_OR_RETURN(config.rms_norm_eps, text.DoubleOr(epsilon, 1e-6));
  ASSIGN_OR_RETURN(config.initializer_range, text.DoubleOr("initializer_range", 0.02));
  ASSIGN_OR_RETURN(
      config.tie_word_embeddings,
      (root.Has("tie_word_embeddings") ? root : text).BoolOr("tie_word_embeddings", false));
  const bool text_dtype = text.Has("dtype") || text.Has("torch_dtype");
  ASSIGN_OR_RETURN(config.dtype, ReadDType(text_dtype ? text : root));
  RETURN_IF_ERROR(
      ReadSpecialTokens(text, config.bos_token_id, config.eos_token_ids, config.pad_token_id));
  RETURN_IF_ERROR(Annotate(ValidateModelConfig(config), what));
  return config;
}

absl::StatusOr<ModelConfig> LoadModelConfig(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.json";
  ASSIGN_OR_RETURN(std::string text, ReadSmallFile(path, JsonLimits().bytes_max));
  return ParseModelConfig(text, path.string());
}

}  // namespace oneai::models
