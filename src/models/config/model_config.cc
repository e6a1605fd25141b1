#include "models/config/model_config.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/json/json_reader.h"

namespace oneai::models {
namespace {

constexpr char kSupportedTypes[] = "qwen2, qwen3";
// Far above any model that exists; they keep every later product of extents inside int64.
constexpr IntRange kWidth = {1, 1 << 22};
constexpr IntRange kCount = {1, 1 << 14};
constexpr IntRange kPositions = {1, int64_t{1} << 40};
constexpr IntRange kTokenId = {0, (1 << 30) - 1};

absl::Status Unsupported(const JsonObject& root, absl::string_view key, absl::string_view found,
                         absl::string_view supported) {
  return absl::UnimplementedError(absl::StrCat(root.what(), ": ", root.PathOf(key), " '", found,
                                               "' is not supported; supported: ", supported));
}

absl::StatusOr<DType> ReadDType(const JsonObject& root) {
  const char* key = root.Has("dtype") ? "dtype" : "torch_dtype";
  ASSIGN_OR_RETURN(std::string name, root.StringOr(key, "float32"));
  if (name == "float32") return DType::kF32;
  if (name == "bfloat16") return DType::kBF16;
  if (name == "float16") return DType::kF16;
  return Unsupported(root, key, name, "float32, bfloat16, float16");
}

// 0.1 m ln(factor) + 1: the attention temperature of YaRN (arXiv:2309.00071, section 3.4).
double YarnScale(double factor, double m) {
  return factor <= 1 ? 1.0 : 0.1 * m * std::log(factor) + 1.0;
}

absl::Status ReadYarn(const JsonObject& scaling, int64_t max_positions, RopeConfig& rope) {
  rope.scaling = RopeScaling::kYarn;
  ASSIGN_OR_RETURN(rope.yarn_factor, scaling.Double("factor"));
  if (rope.yarn_factor < 1.0 || rope.yarn_factor > 1e6)
    return scaling.Error("factor", "must be between 1 and 1000000");
  ASSIGN_OR_RETURN(rope.yarn_original_positions,
                   scaling.IntOr("original_max_position_embeddings", max_positions, kPositions));
  ASSIGN_OR_RETURN(rope.yarn_beta_fast, scaling.DoubleOr("beta_fast", 32.0));
  ASSIGN_OR_RETURN(rope.yarn_beta_slow, scaling.DoubleOr("beta_slow", 1.0));
  if (rope.yarn_beta_slow <= 0 || rope.yarn_beta_fast < rope.yarn_beta_slow)
    return scaling.Error("beta_fast", "must be >= beta_slow, and both above 0");
  ASSIGN_OR_RETURN(rope.yarn_truncate, scaling.BoolOr("truncate", true));
  ASSIGN_OR_RETURN(double mscale, scaling.DoubleOr("mscale", 0.0));
  ASSIGN_OR_RETURN(double mscale_all_dim, scaling.DoubleOr("mscale_all_dim", 0.0));
  const double scale =
      mscale != 0 && mscale_all_dim != 0
          ? YarnScale(rope.yarn_factor, mscale) / YarnScale(rope.yarn_factor, mscale_all_dim)
          : YarnScale(rope.yarn_factor, 1.0);
  ASSIGN_OR_RETURN(rope.yarn_attention_factor, scaling.DoubleOr("attention_factor", scale));
  if (!(rope.yarn_attention_factor > 0) || rope.yarn_attention_factor > 1e6)
    return scaling.Error("attention_factor", "must be above 0");
  return absl::OkStatus();
}

absl::StatusOr<RopeConfig> ReadRope(const JsonObject& root, int64_t max_positions) {
  RopeConfig rope;
  // transformers 5 holds theta inside `rope_parameters`; released files beside `rope_scaling`.
  const char* key = root.Has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  ASSIGN_OR_RETURN(rope.theta, root.DoubleOr("rope_theta", 10000.0));
  if (root.Has(key)) {
    ASSIGN_OR_RETURN(JsonObject scaling, root.Object(key));
    ASSIGN_OR_RETURN(rope.theta, scaling.DoubleOr("rope_theta", rope.theta));
    const char* type_key = scaling.Has("rope_type") ? "rope_type" : "type";
    ASSIGN_OR_RETURN(std::string type, scaling.StringOr(type_key, "default"));
    if (type == "yarn") {
      RETURN_IF_ERROR(ReadYarn(scaling, max_positions, rope));
    } else if (type != "default") {
      return Unsupported(scaling, type_key, type, "default, yarn");
    }
    ASSIGN_OR_RETURN(double partial, scaling.DoubleOr("partial_rotary_factor", 1.0));
    if (partial != 1.0)
      return Unsupported(scaling, "partial_rotary_factor", absl::StrCat(partial), "1.0");
  }
  if (!(rope.theta >= 1.0) || rope.theta > 1e15)
    return root.Error("rope_theta", absl::StrCat("must be between 1 and 1e15, found ", rope.theta));
  return rope;
}

absl::Status ReadLayerTypes(const JsonObject& root, ModelConfig& config) {
  config.layer_types.assign(config.num_layers, LayerType::kFullAttention);
  ASSIGN_OR_RETURN(bool use_window, root.BoolOr("use_sliding_window", false));
  if (root.Has("layer_types")) {
    ASSIGN_OR_RETURN(std::vector<std::string> names, root.StringListOr("layer_types", {}));
    if (static_cast<int64_t>(names.size()) != config.num_layers)
      return root.Error("layer_types", absl::StrCat("has ", names.size(), " entries for ",
                                                    config.num_layers, " layers"));
    for (int64_t i = 0; i < config.num_layers; ++i) {
      if (names[i] == "sliding_attention") {
        config.layer_types[i] = LayerType::kSlidingAttention;
      } else if (names[i] != "full_attention") {
        return Unsupported(root, "layer_types", names[i], "full_attention, sliding_attention");
      }
    }
  } else if (use_window && root.Has("sliding_window")) {
    ASSIGN_OR_RETURN(int64_t first, root.IntOr("max_window_layers", 28, {0, kCount.max}));
    for (int64_t i = first; i < config.num_layers; ++i)
      config.layer_types[i] = LayerType::kSlidingAttention;
  }
  if (std::find(config.layer_types.begin(), config.layer_types.end(),
                LayerType::kSlidingAttention) != config.layer_types.end()) {
    ASSIGN_OR_RETURN(config.sliding_window, root.Int("sliding_window", kPositions));
  }
  return absl::OkStatus();
}

absl::Status ReadHead(const JsonObject& root, ModelConfig& config) {
  ASSIGN_OR_RETURN(std::vector<std::string> architectures, root.StringListOr("architectures", {}));
  const std::string prefix = config.family == ModelFamily::kQwen2 ? "Qwen2" : "Qwen3";
  const std::string name = architectures.empty() ? prefix + "ForCausalLM" : architectures[0];
  if (name == prefix + "ForSequenceClassification") {
    config.head = ModelHead::kSequenceClassification;
    const Json* labels = root.Find("id2label");
    if (labels != nullptr && labels->is_object() && !labels->empty()) {
      config.num_labels = static_cast<int64_t>(labels->size());
    } else {
      ASSIGN_OR_RETURN(config.num_labels, root.IntOr("num_labels", 2, kWidth));
    }
  } else if (name != prefix + "ForCausalLM" && name != prefix + "Model") {
    return Unsupported(root, "architectures", name,
                       absl::StrCat(prefix, "ForCausalLM, ", prefix, "ForSequenceClassification"));
  }
  return absl::OkStatus();
}

absl::Status ReadSizes(const JsonObject& root, ModelConfig& config) {
  ASSIGN_OR_RETURN(config.vocab_size, root.Int("vocab_size", {1, 1 << 26}));
  ASSIGN_OR_RETURN(config.hidden_size, root.Int("hidden_size", kWidth));
  ASSIGN_OR_RETURN(config.intermediate_size, root.Int("intermediate_size", kWidth));
  ASSIGN_OR_RETURN(config.num_layers, root.Int("num_hidden_layers", kCount));
  ASSIGN_OR_RETURN(config.num_heads, root.Int("num_attention_heads", kCount));
  ASSIGN_OR_RETURN(config.num_kv_heads,
                   root.IntOr("num_key_value_heads", config.num_heads, kCount));
  // Qwen3's configuration class defaults to 128; Qwen2 derives it.
  const int64_t derived = config.hidden_size / config.num_heads;
  ASSIGN_OR_RETURN(
      config.head_dim,
      root.IntOr("head_dim", config.family == ModelFamily::kQwen3 ? 128 : derived, {1, 1 << 16}));
  if (config.family == ModelFamily::kQwen2 && !root.Has("head_dim") &&
      config.hidden_size % config.num_heads != 0)
    return root.Error(
        "num_attention_heads",
        absl::StrCat("must divide hidden_size ", config.hidden_size, ", found ", config.num_heads));
  ASSIGN_OR_RETURN(config.max_positions, root.IntOr("max_position_embeddings", 32768, kPositions));
  return absl::OkStatus();
}

absl::Status ReadSpecialTokens(const JsonObject& root, std::optional<int64_t>& bos,
                               std::vector<int64_t>& eos, std::optional<int64_t>& pad) {
  if (root.Has("bos_token_id")) {
    ASSIGN_OR_RETURN(bos, root.Int("bos_token_id", kTokenId));
  }
  ASSIGN_OR_RETURN(eos, root.IntOrIntList("eos_token_id", kTokenId));
  if (root.Has("pad_token_id")) {
    ASSIGN_OR_RETURN(pad, root.Int("pad_token_id", kTokenId));
  }
  return absl::OkStatus();
}

// Settings that change the mathematics and are not implemented must not be ignored.
absl::Status RefuseUnsupported(const JsonObject& root) {
  ASSIGN_OR_RETURN(std::string activation, root.StringOr("hidden_act", "silu"));
  if (activation != "silu") return Unsupported(root, "hidden_act", activation, "silu");
  if (root.Has("quantization_config"))
    return absl::UnimplementedError(
        absl::StrCat(root.what(),
                     ": quantization_config: quantised checkpoints are not supported; use the "
                     "bfloat16, float16 or float32 release of this model"));
  ASSIGN_OR_RETURN(bool use_mrope, root.BoolOr("use_mrope", false));
  if (use_mrope) return Unsupported(root, "use_mrope", "true", "false");
  ASSIGN_OR_RETURN(double partial, root.DoubleOr("partial_rotary_factor", 1.0));
  if (partial != 1.0)
    return Unsupported(root, "partial_rotary_factor", absl::StrCat(partial), "1.0");
  return absl::OkStatus();
}

absl::Status CheckSpecialToken(int64_t id, int64_t vocab_size, absl::string_view key) {
  if (id >= 0 && id < vocab_size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("key '", key, "': ", id, " is outside the vocabulary of ", vocab_size));
}

}  // namespace

absl::string_view ModelFamilyName(ModelFamily family) {
  return family == ModelFamily::kQwen2 ? "qwen2" : "qwen3";
}

absl::Status ValidateModelConfig(const ModelConfig& config) {
  auto check = [](bool ok, absl::string_view key, absl::string_view message) {
    return ok ? absl::OkStatus()
              : absl::InvalidArgumentError(absl::StrCat("key '", key, "': ", message));
  };
  RETURN_IF_ERROR(check(config.vocab_size > 0, "vocab_size", "must be positive"));
  RETURN_IF_ERROR(check(config.hidden_size > 0, "hidden_size", "must be positive"));
  RETURN_IF_ERROR(check(config.intermediate_size > 0, "intermediate_size", "must be positive"));
  RETURN_IF_ERROR(check(config.num_layers > 0, "num_hidden_layers", "must be positive"));
  RETURN_IF_ERROR(check(config.num_heads > 0, "num_attention_heads", "must be positive"));
  RETURN_IF_ERROR(check(config.num_kv_heads > 0 && config.num_heads % config.num_kv_heads == 0,
                        "num_key_value_heads",
                        absl::StrCat("must divide num_attention_heads ", config.num_heads,
                                     ", found ", config.num_kv_heads)));
  RETURN_IF_ERROR(
      check(config.head_dim > 0 && config.head_dim % 2 == 0, "head_dim",
            absl::StrCat("must be positive and even (rotary pairs), found ", config.head_dim)));
  RETURN_IF_ERROR(check(config.max_positions > 0, "max_position_embeddings", "must be positive"));
  RETURN_IF_ERROR(check(config.rms_norm_eps > 0 && config.rms_norm_eps < 1, "rms_norm_eps",
                        absl::StrCat("must be between 0 and 1, found ", config.rms_norm_eps)));
  RETURN_IF_ERROR(check(config.initializer_range > 0 && config.initializer_range <= 1,
                        "initializer_range", "must be above 0 and at most 1"));
  RETURN_IF_ERROR(check(static_cast<int64_t>(config.layer_types.size()) == config.num_layers,
                        "layer_types", "must have one entry per layer"));
  const bool slides = std::find(config.layer_types.begin(), config.layer_types.end(),
                                LayerType::kSlidingAttention) != config.layer_types.end();
  RETURN_IF_ERROR(check(slides == (config.sliding_window > 0), "sliding_window",
                        "must be set exactly when a layer slides"));
  RETURN_IF_ERROR(check(config.head != ModelHead::kSequenceClassification || config.num_labels > 0,
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
  ASSIGN_OR_RETURN(std::string type, root.String("model_type"));
  if (type != "qwen2" && type != "qwen3")
    return Unsupported(root, "model_type", type, kSupportedTypes);
  config.family = type == "qwen2" ? ModelFamily::kQwen2 : ModelFamily::kQwen3;
  RETURN_IF_ERROR(RefuseUnsupported(root));
  RETURN_IF_ERROR(ReadHead(root, config));
  RETURN_IF_ERROR(ReadSizes(root, config));
  ASSIGN_OR_RETURN(config.rms_norm_eps, root.DoubleOr("rms_norm_eps", 1e-6));
  ASSIGN_OR_RETURN(config.initializer_range, root.DoubleOr("initializer_range", 0.02));
  ASSIGN_OR_RETURN(config.rope, ReadRope(root, config.max_positions));
  ASSIGN_OR_RETURN(config.tie_word_embeddings, root.BoolOr("tie_word_embeddings", false));
  if (config.family == ModelFamily::kQwen2) {
    config.qkv_bias = true;
  } else {
    ASSIGN_OR_RETURN(config.qkv_bias, root.BoolOr("attention_bias", false));
    config.output_bias = config.qkv_bias;
    config.qk_norm = true;
  }
  RETURN_IF_ERROR(ReadLayerTypes(root, config));
  ASSIGN_OR_RETURN(config.dtype, ReadDType(root));
  RETURN_IF_ERROR(
      ReadSpecialTokens(root, config.bos_token_id, config.eos_token_ids, config.pad_token_id));
  RETURN_IF_ERROR(Annotate(ValidateModelConfig(config), what));
  return config;
}

absl::StatusOr<ModelConfig> LoadModelConfig(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.json";
  ASSIGN_OR_RETURN(std::string text, ReadSmallFile(path, JsonLimits().bytes_max));
  return ParseModelConfig(text, path.string());
}

absl::StatusOr<GenerationConfig> ParseGenerationConfig(absl::string_view json,
                                                       absl::string_view what) {
  ASSIGN_OR_RETURN(Json document, ParseJson(json, what));
  ASSIGN_OR_RETURN(JsonObject root, JsonObject::From(document, what));
  GenerationConfig config;
  RETURN_IF_ERROR(
      ReadSpecialTokens(root, config.bos_token_id, config.eos_token_ids, config.pad_token_id));
  if (root.Has("do_sample")) {
    ASSIGN_OR_RETURN(config.do_sample, root.BoolOr("do_sample", false));
  }
  auto number = [&](const char* key, auto in_range, std::optional<double>& out) -> absl::Status {
    if (!root.Has(key)) return absl::OkStatus();
    ASSIGN_OR_RETURN(double value, root.Double(key));
    if (!in_range(value)) return root.Error(key, absl::StrCat("is out of range: ", value));
    out = value;
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(number(
      "temperature", [](double v) { return v >= 0; }, config.temperature));
  RETURN_IF_ERROR(number(
      "top_p", [](double v) { return v > 0 && v <= 1; }, config.top_p));
  RETURN_IF_ERROR(number(
      "repetition_penalty", [](double v) { return v > 0; }, config.repetition_penalty));
  if (root.Has("top_k")) {
    ASSIGN_OR_RETURN(config.top_k, root.Int("top_k", {0, 1 << 26}));
  }
  if (root.Has("max_new_tokens")) {
    ASSIGN_OR_RETURN(config.max_new_tokens, root.Int("max_new_tokens", kPositions));
  }
  return config;
}

absl::StatusOr<GenerationConfig> LoadGenerationConfig(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "generation_config.json";
  ASSIGN_OR_RETURN(std::string text, ReadSmallFile(path, JsonLimits().bytes_max));
  return ParseGenerationConfig(text, path.string());
}

}  // namespace oneai::models
