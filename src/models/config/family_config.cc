// What each family's config.json says beyond what all have in common.
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/config/config_fields.h"

namespace oneai::models {
namespace {

// Keys of dense and sparse decoders of one family.
struct FamilyKeys {
  const char* prefix;   // of the names in `architectures`
  int64_t head_dim;     // default; 0: hidden_size / num_attention_heads
  bool fixed_qkv_bias;  // q, k and v have biases whatever the file says
  bool qk_norm;
  bool sparse;
  bool shared_expert;
};

FamilyKeys KeysOf(ModelFamily family) {
  switch (family) {
    case ModelFamily::kQwen2Moe:
      return {"Qwen2Moe", 0, true, false, true, true};
    case ModelFamily::kQwen3:
      return {"Qwen3", 128, false, true, false, false};
    case ModelFamily::kQwen3Moe:
      return {"Qwen3Moe", 0, false, true, true, false};
    default:
      return {"Qwen2", 0, true, false, false, false};
  }
}

}  // namespace

absl::Status ReadQwen2And3(const JsonObject& root, ModelConfig& config) {
  const FamilyKeys keys = KeysOf(config.family);
  RETURN_IF_ERROR(ReadHead(root, keys.prefix, "", config));
  RETURN_IF_ERROR(ReadSizes(root, keys.head_dim, config));
  ASSIGN_OR_RETURN(config.rope, ReadRope(root, config.max_positions, 1.0));
  config.qk_norm = keys.qk_norm;
  config.qkv_bias = keys.fixed_qkv_bias;
  if (config.family == ModelFamily::kQwen2Moe) {
    ASSIGN_OR_RETURN(config.qkv_bias, root.BoolOr("qkv_bias", true));
  } else if (!keys.fixed_qkv_bias) {
    ASSIGN_OR_RETURN(config.qkv_bias, root.BoolOr("attention_bias", false));
    config.output_bias = config.qkv_bias;
  }
  if (keys.sparse) RETURN_IF_ERROR(ReadMoe(root, /*normalize=*/false, config));
  if (keys.shared_expert && config.moe.num_experts > 0) {
    ASSIGN_OR_RETURN(config.moe.shared_expert_size,
                     root.Int("shared_expert_intermediate_size", kWidthRange));
  }
  return ReadSlidingLayers(root, config);
}

absl::Status ReadHybrid(const JsonObject& root, const JsonObject& text, ModelConfig& config) {
  const bool next = config.family == ModelFamily::kQwen3Next;
  const bool sparse = config.family != ModelFamily::kQwen3_5;
  const std::string prefix = next ? "Qwen3Next" : sparse ? "Qwen3_5Moe" : "Qwen3_5";
  const std::string vision = next ? "" : prefix + "ForConditionalGeneration";
  RETURN_IF_ERROR(ReadHead(root, prefix, vision, config));
  RETURN_IF_ERROR(ReadSizes(text, 256, config));
  ASSIGN_OR_RETURN(config.rope, ReadRope(text, config.max_positions, 0.25));
  config.qk_norm = config.zero_centered_norms = true;
  ASSIGN_OR_RETURN(config.attention_gate, text.BoolOr("attn_output_gate", true));
  ASSIGN_OR_RETURN(config.qkv_bias, text.BoolOr("attention_bias", false));
  config.output_bias = config.qkv_bias;
  RETURN_IF_ERROR(ReadHybridLayers(text, config));
  ASSIGN_OR_RETURN(config.num_mtp_layers,
                   text.IntOr("mtp_num_hidden_layers", 0, {0, kCountRange.max}));
  if (!sparse) return absl::OkStatus();
  RETURN_IF_ERROR(ReadMoe(text, /*normalize=*/true, config));
  if (config.moe.num_experts == 0)
    return text.Error("num_experts", "must be positive in this family");
  if (!next) {
    // The model computes these, whatever its file says.
    config.moe.normalize_weights = true;
    config.moe.sparse_step = 1;
    config.moe.dense_layers.clear();
  }
  ASSIGN_OR_RETURN(config.moe.shared_expert_size,
                   text.Int("shared_expert_intermediate_size", kWidthRange));
  return absl::OkStatus();
}

absl::Status ReadLlama(const JsonObject& root, ModelConfig& config) {
  RETURN_IF_ERROR(ReadHead(root, "Llama", "", config));
  RETURN_IF_ERROR(ReadSizes(root, 0, config));
  ASSIGN_OR_RETURN(config.rope, ReadRope(root, config.max_positions, 1.0));
  ASSIGN_OR_RETURN(config.qkv_bias, root.BoolOr("attention_bias", false));
  config.output_bias = config.qkv_bias;
  ASSIGN_OR_RETURN(const bool mlp_bias, root.BoolOr("mlp_bias", false));
  if (mlp_bias) return Unsupported(root, "mlp_bias", "true", "false");
  config.layer_types.assign(config.num_layers, LayerType::kFullAttention);
  return absl::OkStatus();
}

absl::Status ReadQwen1(const JsonObject& root, ModelConfig& config) {
  ASSIGN_OR_RETURN(std::vector<std::string> architectures, root.StringListOr("architectures", {}));
  if (!architectures.empty() && architectures[0] != "QWenLMHeadModel")
    return Unsupported(root, "architectures", architectures[0], "QWenLMHeadModel");
  ASSIGN_OR_RETURN(config.vocab_size, root.Int("vocab_size", kVocabRange));
  ASSIGN_OR_RETURN(config.hidden_size, root.Int("hidden_size", kWidthRange));
  ASSIGN_OR_RETURN(config.num_layers, root.Int("num_hidden_layers", kCountRange));
  ASSIGN_OR_RETURN(config.num_heads, root.Int("num_attention_heads", kCountRange));
  config.num_kv_heads = config.num_heads;
  ASSIGN_OR_RETURN(config.head_dim, root.IntOr("kv_channels", 128, {1, 1 << 16}));
  if (config.head_dim * config.num_heads != config.hidden_size)
    return root.Error("kv_channels", absl::StrCat("times num_attention_heads must be hidden_size ",
                                                  config.hidden_size, ", found ", config.head_dim));
  // w1 and w2 are each half as wide as the file says.
  ASSIGN_OR_RETURN(const int64_t both, root.Int("intermediate_size", kWidthRange));
  if (both % 2 != 0) return root.Error("intermediate_size", "must be even");
  config.intermediate_size = both / 2;
  ASSIGN_OR_RETURN(config.trained_positions, root.IntOr("seq_length", 2048, kPositionsRange));
  ASSIGN_OR_RETURN(config.max_positions, root.IntOr("max_position_embeddings",
                                                    config.trained_positions, kPositionsRange));
  ASSIGN_OR_RETURN(config.rope.theta, root.DoubleOr("rotary_emb_base", 10000.0));
  if (!(config.rope.theta >= 1.0) || config.rope.theta > 1e15)
    return root.Error("rotary_emb_base", "must be between 1 and 1e15");
  ASSIGN_OR_RETURN(config.rope.dynamic_ntk, root.BoolOr("use_dynamic_ntk", true));
  ASSIGN_OR_RETURN(config.log_n_attention, root.BoolOr("use_logn_attn", true));
  ASSIGN_OR_RETURN(const double rotary, root.DoubleOr("rotary_pct", 1.0));
  if (rotary != 1.0) return Unsupported(root, "rotary_pct", absl::StrCat(rotary), "1.0");
  ASSIGN_OR_RETURN(const bool no_bias, root.BoolOr("no_bias", true));
  if (!no_bias) return Unsupported(root, "no_bias", "false", "true");
  config.qkv_bias = true;
  config.layer_types.assign(config.num_layers, LayerType::kFullAttention);
  return absl::OkStatus();
}

}  // namespace oneai::models
