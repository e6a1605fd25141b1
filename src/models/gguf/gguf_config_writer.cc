// config.json -> metadata.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/config/model_config.h"
#include "models/gguf/gguf_config.h"
#include "models/gguf/gguf_names.h"
#include "models/gguf/rope_factors.h"

namespace oneai::models {
namespace {

constexpr int64_t kExtentMax = 1 << 26;

// Settings of config.json that change the mathematics and that GGUF has no word for.
absl::Status RefuseUnsayable(const JsonObject& root, absl::string_view model_type) {
  auto refuse = [&](absl::string_view key, absl::string_view why) {
    return absl::UnimplementedError(
        absl::StrCat(root.what(), ": ", key, ": ", why, "; this model cannot be written as GGUF"));
  };
  ASSIGN_OR_RETURN(const bool slides, root.BoolOr("use_sliding_window", false));
  if (slides && model_type != "llama")
    return refuse("use_sliding_window", "llama.cpp reads these models without a window");
  ASSIGN_OR_RETURN(const bool bias, root.BoolOr("attention_bias", false));
  if (bias && model_type != "llama")
    return refuse("attention_bias", "GGUF's architecture has no such tensors");
  ASSIGN_OR_RETURN(const std::vector<std::string> classes, root.StringListOr("architectures", {}));
  for (const std::string& name : classes)
    if (!absl::StrContains(name, "ForCausalLM") && !absl::EndsWith(name, "Model"))
      return refuse("architectures", absl::StrCat(name, " has another head"));
  ASSIGN_OR_RETURN(const int64_t step, root.IntOr("decoder_sparse_step", 1));
  const Json* dense_layers = root.Find("mlp_only_layers");
  if (step != 1 || (dense_layers != nullptr && !dense_layers->empty()))
    return refuse("mlp_only_layers", "layers without experts among those with");
  if (root.Has("norm_topk_prob") && root.Has("num_experts")) {
    ASSIGN_OR_RETURN(const bool normalised, root.BoolOr("norm_topk_prob", false));
    if (normalised != (model_type != "qwen2_moe"))
      return refuse("norm_topk_prob", "llama.cpp fixes it by architecture");
  }
  return absl::OkStatus();
}

// `rope_parameters` or `rope_scaling`, and what type of scaling it says.
struct RopeSettings {
  std::optional<JsonObject> scaling;
  std::string type = "default";
};

absl::StatusOr<RopeSettings> RopeSettingsOf(const JsonObject& root) {
  RopeSettings settings;
  const char* key = root.Has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (!root.Has(key)) return settings;
  ASSIGN_OR_RETURN(settings.scaling, root.Object(key));
  ASSIGN_OR_RETURN(settings.type,
                   settings.scaling->StringOr(
                       settings.scaling->Has("rope_type") ? "rope_type" : "type", "default"));
  if (settings.type != "default" && settings.type != "yarn" && settings.type != "llama3")
    return absl::UnimplementedError(
        absl::StrCat(root.what(), ": ", key, ": '", settings.type,
                     "' cannot be written as GGUF; yarn and llama3 can"));
  return settings;
}

absl::StatusOr<double> ThetaOf(const JsonObject& root, const RopeSettings& settings) {
  ASSIGN_OR_RETURN(const double theta, root.DoubleOr("rope_theta", 10000.0));
  return settings.scaling ? settings.scaling->DoubleOr("rope_theta", theta) : theta;
}

absl::StatusOr<int64_t> HeadDimOf(const JsonObject& root, absl::string_view model_type) {
  constexpr IntRange kRange = {1, kExtentMax};
  ASSIGN_OR_RETURN(const int64_t hidden, root.Int("hidden_size", kRange));
  ASSIGN_OR_RETURN(const int64_t heads, root.Int("num_attention_heads", kRange));
  return root.IntOr("head_dim", absl::StartsWith(model_type, "qwen3") ? 128 : hidden / heads,
                    kRange);
}

absl::Status PutRope(const JsonObject& root, const std::string& prefix, GgufMetadata& metadata) {
  ASSIGN_OR_RETURN(const RopeSettings settings, RopeSettingsOf(root));
  ASSIGN_OR_RETURN(const double theta, ThetaOf(root, settings));
  metadata.PutF32(prefix + "rope.freq_base", static_cast<float>(theta));
  if (settings.type == "llama3" && prefix != "llama.")
    return absl::UnimplementedError(
        absl::StrCat(root.what(), ": rope_scaling: llama3 can be written for llama only"));
  if (settings.type != "yarn") return absl::OkStatus();
  ASSIGN_OR_RETURN(const double factor, settings.scaling->Double("factor"));
  ASSIGN_OR_RETURN(const int64_t positions, root.IntOr("max_position_embeddings", 32768));
  ASSIGN_OR_RETURN(
      const int64_t original,
      settings.scaling->IntOr("original_max_position_embeddings", positions, {1, UINT32_MAX}));
  metadata.PutText(prefix + "rope.scaling.type", "yarn");
  metadata.PutF32(prefix + "rope.scaling.factor", static_cast<float>(factor));
  metadata.PutU32(prefix + "rope.scaling.original_context_length", static_cast<uint32_t>(original));
  return absl::OkStatus();
}

// `value` of config key `key` under `name`.
absl::Status PutSize(const JsonObject& root, const char* key, const std::string& name,
                     GgufMetadata& metadata) {
  ASSIGN_OR_RETURN(const int64_t value, root.Int(key, {0, UINT32_MAX}));
  metadata.PutU32(name, static_cast<uint32_t>(value));
  return absl::OkStatus();
}

// The distance at which layers of full attention repeat.
absl::StatusOr<int64_t> FullAttentionInterval(const JsonObject& root) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, root.StringListOr("layer_types", {}));
  if (names.empty()) return root.IntOr("full_attention_interval", 4, {1, 1 << 14});
  const auto first = std::find(names.begin(), names.end(), "full_attention");
  const int64_t interval = first - names.begin() + 1;
  for (size_t i = 0; i < names.size(); ++i)
    if ((names[i] == "full_attention") != ((static_cast<int64_t>(i) + 1) % interval == 0))
      return absl::UnimplementedError(
          absl::StrCat(root.what(),
                       ": layer_types: layers of full attention at uneven distances "
                       "cannot be written as GGUF"));
  return interval;
}

absl::Status PutHybrid(const JsonObject& root, const std::string& prefix, int64_t head_dim,
                       GgufMetadata& metadata) {
  ASSIGN_OR_RETURN(const bool gate, root.BoolOr("attn_output_gate", true));
  if (!gate)
    return absl::UnimplementedError(
        absl::StrCat(root.what(), ": attn_output_gate: false cannot be written as GGUF"));
  ASSIGN_OR_RETURN(const int64_t interval, FullAttentionInterval(root));
  metadata.PutU32(prefix + "full_attention_interval", static_cast<uint32_t>(interval));
  RETURN_IF_ERROR(PutSize(root, "linear_num_key_heads", prefix + "ssm.group_count", metadata));
  RETURN_IF_ERROR(PutSize(root, "linear_num_value_heads", prefix + "ssm.time_step_rank", metadata));
  RETURN_IF_ERROR(PutSize(root, "linear_key_head_dim", prefix + "ssm.state_size", metadata));
  RETURN_IF_ERROR(PutSize(root, "linear_conv_kernel_dim", prefix + "ssm.conv_kernel", metadata));
  ASSIGN_OR_RETURN(const int64_t heads, root.Int("linear_num_value_heads", {1, 1 << 14}));
  ASSIGN_OR_RETURN(const int64_t width, root.Int("linear_value_head_dim", {1, 1 << 16}));
  metadata.PutU32(prefix + "ssm.inner_size", static_cast<uint32_t>(heads * width));
  ASSIGN_OR_RETURN(const double share, root.DoubleOr("partial_rotary_factor", 0.25));
  metadata.PutU32(prefix + "rope.dimension_count",
                  static_cast<uint32_t>(static_cast<double>(head_dim) * share));
  if (prefix == "qwen3next.") return absl::OkStatus();
  // llama.cpp wants them, also for text alone; these are the published models'.
  std::vector<int32_t> sections = {11, 11, 10, 0};
  ASSIGN_OR_RETURN(const RopeSettings rope, RopeSettingsOf(root));
  if (rope.scaling && rope.scaling->Has("mrope_section")) {
    ASSIGN_OR_RETURN(const std::vector<int64_t> found,
                     rope.scaling->IntOrIntList("mrope_section", {0, 1 << 16}));
    for (size_t i = 0; i < 3; ++i)
      sections[i] = i < found.size() ? static_cast<int32_t>(found[i]) : 0;
  }
  metadata.PutI32s(prefix + "rope.dimension_sections", sections);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Json> FlattenConfig(const Json& config, absl::string_view what) {
  const std::optional<std::string> architecture =
      config.is_object() && config.contains("model_type") && config["model_type"].is_string()
          ? GgufArchitecture(config["model_type"].get<std::string>())
          : std::nullopt;
  if (!architecture || !IsHybridArchitecture(*architecture)) return config;
  ASSIGN_OR_RETURN(const ModelConfig parsed, ParseModelConfig(config.dump(), what));
  if (parsed.head != ModelHead::kCausalLm)
    return absl::UnimplementedError(
        absl::StrCat(what, ": architectures: only language models can be written as GGUF"));
  ASSIGN_OR_RETURN(Json flat, ParseJson(ToHfJson(parsed), what));
  // What the model does not need, but other programs do.
  const Json& text = config.contains("text_config") ? config["text_config"] : config;
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (!text.contains(key) || !text[key].is_object() || !text[key].contains("mrope_section"))
      continue;
    Json& rope = flat[flat.contains("rope_scaling") ? "rope_scaling" : "rope_parameters"];
    if (rope.is_null()) rope = {{"rope_type", "default"}, {"rope_theta", flat["rope_theta"]}};
    rope["mrope_interleaved"] = true;
    rope["mrope_section"] = text[key]["mrope_section"];
  }
  return flat;
}

absl::Status PutGgufConfig(const Json& config, absl::string_view what, int64_t num_draft_layers,
                           GgufMetadata& metadata) {
  ASSIGN_OR_RETURN(const JsonObject root, JsonObject::From(config, what));
  ASSIGN_OR_RETURN(const std::string model_type, root.String("model_type"));
  const std::optional<std::string> architecture = GgufArchitecture(model_type);
  if (!architecture)
    return absl::UnimplementedError(absl::StrCat(what, ": model_type '", model_type,
                                                 "' cannot be written as GGUF; those of ",
                                                 KnownGgufArchitectures(), " can"));
  RETURN_IF_ERROR(RefuseUnsayable(root, model_type));
  const std::string prefix = *architecture + ".";
  const bool hybrid = IsHybridArchitecture(*architecture);
  auto put = [&](const char* key, absl::string_view name) {
    return PutSize(root, key, prefix + std::string(name), metadata);
  };
  ASSIGN_OR_RETURN(const int64_t layers, root.Int("num_hidden_layers", {1, 1 << 14}));
  metadata.PutU32(prefix + "block_count", static_cast<uint32_t>(layers + num_draft_layers));
  if (num_draft_layers > 0)
    metadata.PutU32(prefix + "nextn_predict_layers", static_cast<uint32_t>(num_draft_layers));
  RETURN_IF_ERROR(put("max_position_embeddings", "context_length"));
  RETURN_IF_ERROR(put("hidden_size", "embedding_length"));
  RETURN_IF_ERROR(put("intermediate_size", "feed_forward_length"));
  RETURN_IF_ERROR(put("vocab_size", "vocab_size"));
  ASSIGN_OR_RETURN(const int64_t heads, root.Int("num_attention_heads", {1, kExtentMax}));
  ASSIGN_OR_RETURN(const int64_t kv_heads,
                   root.IntOr("num_key_value_heads", heads, {1, kExtentMax}));
  ASSIGN_OR_RETURN(const int64_t head_dim, HeadDimOf(root, model_type));
  ASSIGN_OR_RETURN(const double eps, root.DoubleOr("rms_norm_eps", 1e-6));
  metadata.PutU32(prefix + "attention.head_count", static_cast<uint32_t>(heads));
  metadata.PutU32(prefix + "attention.head_count_kv", static_cast<uint32_t>(kv_heads));
  metadata.PutU32(prefix + "attention.key_length", static_cast<uint32_t>(head_dim));
  metadata.PutU32(prefix + "attention.value_length", static_cast<uint32_t>(head_dim));
  metadata.PutF32(prefix + "attention.layer_norm_rms_epsilon", static_cast<float>(eps));
  if (hybrid) {
    RETURN_IF_ERROR(PutHybrid(root, prefix, head_dim, metadata));
  } else {
    metadata.PutU32(prefix + "rope.dimension_count", static_cast<uint32_t>(head_dim));
  }
  RETURN_IF_ERROR(PutRope(root, prefix, metadata));
  if (!root.Has("num_experts")) return absl::OkStatus();
  RETURN_IF_ERROR(put("num_experts", "expert_count"));
  RETURN_IF_ERROR(put("num_experts_per_tok", "expert_used_count"));
  RETURN_IF_ERROR(put("moe_intermediate_size", "expert_feed_forward_length"));
  if (!root.Has("shared_expert_intermediate_size")) return absl::OkStatus();
  return put("shared_expert_intermediate_size", "expert_shared_feed_forward_length");
}

absl::StatusOr<std::vector<float>> RopeFactorsOf(const Json& config, absl::string_view what) {
  ASSIGN_OR_RETURN(const JsonObject root, JsonObject::From(config, what));
  ASSIGN_OR_RETURN(const RopeSettings settings, RopeSettingsOf(root));
  if (settings.type != "llama3") return std::vector<float>{};
  ASSIGN_OR_RETURN(const double theta, ThetaOf(root, settings));
  ASSIGN_OR_RETURN(const int64_t head_dim, HeadDimOf(root, "llama"));
  Llama3Scaling scaling;
  ASSIGN_OR_RETURN(scaling.factor, settings.scaling->Double("factor"));
  ASSIGN_OR_RETURN(scaling.low_frequency_factor, settings.scaling->Double("low_freq_factor"));
  ASSIGN_OR_RETURN(scaling.high_frequency_factor, settings.scaling->Double("high_freq_factor"));
  ASSIGN_OR_RETURN(scaling.original_positions,
                   settings.scaling->Double("original_max_position_embeddings"));
  return RopeFactors(scaling, theta, head_dim);
}

}  // namespace oneai::models
