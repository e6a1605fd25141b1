#include "models/config/config_fields.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::models {
namespace {

constexpr IntRange kTokenId = {0, (1 << 30) - 1};

// The names in `layer_types`, one per layer; empty when the key is missing.
absl::StatusOr<std::vector<std::string>> LayerNames(const JsonObject& root, int64_t num_layers) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, root.StringListOr("layer_types", {}));
  if (root.Has("layer_types") && static_cast<int64_t>(names.size()) != num_layers)
    return root.Error("layer_types",
                      absl::StrCat("has ", names.size(), " entries for ", num_layers, " layers"));
  return names;
}

// Turns names into types; `second` and `second_name` are the type that is not full attention.
absl::Status ParseLayers(const JsonObject& root, const std::vector<std::string>& names,
                         LayerType second, absl::string_view second_name, ModelConfig& config) {
  for (int64_t i = 0; i < config.num_layers; ++i) {
    if (names[i] == second_name) {
      config.layer_types[i] = second;
    } else if (names[i] != "full_attention") {
      return Unsupported(root, "layer_types", names[i],
                         absl::StrCat("full_attention, ", second_name));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Unsupported(const JsonObject& root, absl::string_view key, absl::string_view found,
                         absl::string_view supported) {
  return absl::UnimplementedError(absl::StrCat(root.what(), ": ", root.PathOf(key), " '", found,
                                               "' is not supported; supported: ", supported));
}

absl::Status ReadHead(const JsonObject& root, absl::string_view prefix, absl::string_view other,
                      ModelConfig& config) {
  ASSIGN_OR_RETURN(std::vector<std::string> architectures, root.StringListOr("architectures", {}));
  const std::string causal = absl::StrCat(prefix, "ForCausalLM"),
                    classifier = absl::StrCat(prefix, "ForSequenceClassification");
  const std::string name = architectures.empty() ? causal : architectures[0];
  if (name == classifier) {
    config.head = ModelHead::kSequenceClassification;
    const Json* labels = root.Find("id2label");
    if (labels != nullptr && labels->is_object() && !labels->empty()) {
      config.num_labels = static_cast<int64_t>(labels->size());
    } else {
      ASSIGN_OR_RETURN(config.num_labels, root.IntOr("num_labels", 2, kWidthRange));
    }
  } else if (name != causal && name != absl::StrCat(prefix, "Model") &&
             (other.empty() || name != other)) {
    return Unsupported(
        root, "architectures", name,
        absl::StrCat(causal, ", ", classifier, other.empty() ? "" : absl::StrCat(", ", other)));
  }
  return absl::OkStatus();
}

absl::Status ReadSizes(const JsonObject& root, int64_t head_dim, ModelConfig& config) {
  ASSIGN_OR_RETURN(config.vocab_size, root.Int("vocab_size", kVocabRange));
  ASSIGN_OR_RETURN(config.hidden_size, root.Int("hidden_size", kWidthRange));
  ASSIGN_OR_RETURN(config.intermediate_size, root.Int("intermediate_size", kWidthRange));
  ASSIGN_OR_RETURN(config.num_layers, root.Int("num_hidden_layers", kCountRange));
  ASSIGN_OR_RETURN(config.num_heads, root.Int("num_attention_heads", kCountRange));
  ASSIGN_OR_RETURN(config.num_kv_heads,
                   root.IntOr("num_key_value_heads", config.num_heads, kCountRange));
  const bool derived = head_dim == 0 && !root.Has("head_dim");
  if (derived && config.hidden_size % config.num_heads != 0)
    return root.Error(
        "num_attention_heads",
        absl::StrCat("must divide hidden_size ", config.hidden_size, ", found ", config.num_heads));
  ASSIGN_OR_RETURN(
      config.head_dim,
      root.IntOr("head_dim", derived ? config.hidden_size / config.num_heads : head_dim,
                 {1, 1 << 16}));
  ASSIGN_OR_RETURN(config.max_positions,
                   root.IntOr("max_position_embeddings", 32768, kPositionsRange));
  return absl::OkStatus();
}

absl::Status ReadSlidingLayers(const JsonObject& root, ModelConfig& config) {
  config.layer_types.assign(config.num_layers, LayerType::kFullAttention);
  ASSIGN_OR_RETURN(bool use_window, root.BoolOr("use_sliding_window", false));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, LayerNames(root, config.num_layers));
  if (!names.empty()) {
    RETURN_IF_ERROR(
        ParseLayers(root, names, LayerType::kSlidingAttention, "sliding_attention", config));
  } else if (use_window && root.Has("sliding_window")) {
    ASSIGN_OR_RETURN(int64_t first, root.IntOr("max_window_layers", 28, {0, kCountRange.max}));
    for (int64_t i = first; i < config.num_layers; ++i)
      config.layer_types[i] = LayerType::kSlidingAttention;
  }
  if (config.HasLayer(LayerType::kSlidingAttention)) {
    ASSIGN_OR_RETURN(config.sliding_window, root.Int("sliding_window", kPositionsRange));
  }
  return absl::OkStatus();
}

absl::Status ReadHybridLayers(const JsonObject& root, ModelConfig& config) {
  config.layer_types.assign(config.num_layers, LayerType::kFullAttention);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, LayerNames(root, config.num_layers));
  if (!names.empty()) {
    RETURN_IF_ERROR(
        ParseLayers(root, names, LayerType::kLinearAttention, "linear_attention", config));
  } else {
    ASSIGN_OR_RETURN(const int64_t interval, root.IntOr("full_attention_interval", 4, kCountRange));
    for (int64_t i = 0; i < config.num_layers; ++i) {
      if ((i + 1) % interval != 0) config.layer_types[i] = LayerType::kLinearAttention;
    }
  }
  if (!config.HasLayer(LayerType::kLinearAttention)) return absl::OkStatus();
  DeltaNetConfig& d = config.delta_net;
  ASSIGN_OR_RETURN(d.num_key_heads, root.Int("linear_num_key_heads", kCountRange));
  ASSIGN_OR_RETURN(d.num_value_heads, root.Int("linear_num_value_heads", kCountRange));
  ASSIGN_OR_RETURN(d.key_dim, root.Int("linear_key_head_dim", {1, 1 << 16}));
  ASSIGN_OR_RETURN(d.value_dim, root.Int("linear_value_head_dim", {1, 1 << 16}));
  ASSIGN_OR_RETURN(d.conv_kernel, root.IntOr("linear_conv_kernel_dim", 4, {1, 64}));
  return absl::OkStatus();
}

absl::Status ReadMoe(const JsonObject& root, bool normalize, ModelConfig& config) {
  MoeConfig& moe = config.moe;
  const char* experts = root.Has("num_experts") ? "num_experts" : "num_local_experts";
  ASSIGN_OR_RETURN(moe.num_experts, root.IntOr(experts, 0, {0, kCountRange.max}));
  if (moe.num_experts == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(moe.experts_per_token, root.Int("num_experts_per_tok", {1, moe.num_experts}));
  ASSIGN_OR_RETURN(moe.expert_size, root.Int("moe_intermediate_size", kWidthRange));
  ASSIGN_OR_RETURN(moe.normalize_weights, root.BoolOr("norm_topk_prob", normalize));
  ASSIGN_OR_RETURN(moe.aux_loss_weight, root.DoubleOr("router_aux_loss_coef", 0.001));
  ASSIGN_OR_RETURN(moe.sparse_step, root.IntOr("decoder_sparse_step", 1, kCountRange));
  ASSIGN_OR_RETURN(moe.dense_layers, root.IntOrIntList("mlp_only_layers", {0, kCountRange.max}));
  std::ranges::sort(moe.dense_layers);
  moe.dense_layers.erase(std::unique(moe.dense_layers.begin(), moe.dense_layers.end()),
                         moe.dense_layers.end());
  return absl::OkStatus();
}

absl::StatusOr<DType> ReadDType(const JsonObject& root) {
  const char* key = root.Has("dtype") ? "dtype" : "torch_dtype";
  ASSIGN_OR_RETURN(std::string name, root.StringOr(key, "float32"));
  if (name == "float32") return DType::kF32;
  if (name == "bfloat16") return DType::kBF16;
  if (name == "float16") return DType::kF16;
  return Unsupported(root, key, name, "float32, bfloat16, float16");
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

}  // namespace oneai::models
