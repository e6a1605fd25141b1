#include "absl/strings/str_cat.h"
#include "models/config/model_config.h"
#include "models/json/json_reader.h"

namespace oneai::models {
namespace {

void PutSpecialTokens(const std::optional<int64_t>& bos, const std::vector<int64_t>& eos,
                      const std::optional<int64_t>& pad, Json& out) {
  if (bos) out["bos_token_id"] = *bos;
  if (eos.size() == 1) out["eos_token_id"] = eos[0];
  if (eos.size() > 1) out["eos_token_id"] = eos;
  if (pad) out["pad_token_id"] = *pad;
}

const char* DTypeText(DType dtype) {
  return dtype == DType::kBF16 ? "bfloat16" : dtype == DType::kF16 ? "float16" : "float32";
}

Json YarnJson(const RopeConfig& rope) {
  Json out = {{"type", "yarn"},
              {"rope_type", "yarn"},
              {"factor", rope.yarn_factor},
              {"original_max_position_embeddings", rope.yarn_original_positions},
              {"attention_factor", rope.yarn_attention_factor}};
  const RopeConfig defaults;
  if (rope.yarn_beta_fast != defaults.yarn_beta_fast) out["beta_fast"] = rope.yarn_beta_fast;
  if (rope.yarn_beta_slow != defaults.yarn_beta_slow) out["beta_slow"] = rope.yarn_beta_slow;
  if (!rope.yarn_truncate) out["truncate"] = false;
  return out;
}

Json Llama3Json(const RopeConfig& rope) {
  return {{"rope_type", "llama3"},
          {"factor", rope.llama3_factor},
          {"low_freq_factor", rope.llama3_low_frequency_factor},
          {"high_freq_factor", rope.llama3_high_frequency_factor},
          {"original_max_position_embeddings", rope.llama3_original_positions}};
}

bool IsHybrid(ModelFamily family) {
  return family == ModelFamily::kQwen3Next || family == ModelFamily::kQwen3_5 ||
         family == ModelFamily::kQwen3_5Moe;
}

void PutRope(const ModelConfig& config, Json& out) {
  out["rope_theta"] = config.rope.theta;
  if (IsHybrid(config.family) || config.rope.partial_factor != 1.0)
    out["partial_rotary_factor"] = config.rope.partial_factor;
  if (config.rope.scaling == RopeScaling::kYarn) out["rope_scaling"] = YarnJson(config.rope);
  if (config.rope.scaling == RopeScaling::kLlama3) out["rope_scaling"] = Llama3Json(config.rope);
}

void PutMoe(const ModelConfig& config, Json& out) {
  const MoeConfig& moe = config.moe;
  out["num_experts"] = moe.num_experts;
  if (moe.num_experts == 0) return;
  out["num_experts_per_tok"] = moe.experts_per_token;
  out["moe_intermediate_size"] = moe.expert_size;
  out["norm_topk_prob"] = moe.normalize_weights;
  out["router_aux_loss_coef"] = moe.aux_loss_weight;
  out["decoder_sparse_step"] = moe.sparse_step;
  out["mlp_only_layers"] = moe.dense_layers;
  out["output_router_logits"] = false;
  if (config.moe.shared_expert_size > 0)
    out["shared_expert_intermediate_size"] = config.moe.shared_expert_size;
}

void PutHybrid(const ModelConfig& config, Json& out) {
  Json names = Json::array();
  for (const LayerType type : config.layer_types)
    names.push_back(type == LayerType::kLinearAttention ? "linear_attention" : "full_attention");
  out["layer_types"] = names;
  out["attn_output_gate"] = config.attention_gate;
  if (config.num_mtp_layers > 0) out["mtp_num_hidden_layers"] = config.num_mtp_layers;
  const DeltaNetConfig& d = config.delta_net;
  if (d.num_key_heads == 0) return;
  out["linear_num_key_heads"] = d.num_key_heads;
  out["linear_num_value_heads"] = d.num_value_heads;
  out["linear_key_head_dim"] = d.key_dim;
  out["linear_value_head_dim"] = d.value_dim;
  out["linear_conv_kernel_dim"] = d.conv_kernel;
}

// The classic keys can only say "the first n layers are full, the rest slide"; other patterns need
// the list.
void PutSlidingWindow(const ModelConfig& config, Json& out) {
  int64_t first_sliding = 0;
  while (first_sliding < config.num_layers &&
         config.layer_types[first_sliding] == LayerType::kFullAttention)
    ++first_sliding;
  bool classic = true;
  Json names = Json::array();
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const bool slides = config.layer_types[i] == LayerType::kSlidingAttention;
    classic = classic && slides == (i >= first_sliding);
    names.push_back(slides ? "sliding_attention" : "full_attention");
  }
  out["use_sliding_window"] = config.sliding_window > 0;
  out["sliding_window"] = config.sliding_window > 0 ? Json(config.sliding_window) : Json(nullptr);
  out["max_window_layers"] = first_sliding;
  if (!classic) out["layer_types"] = names;
}

struct WrittenNames {
  const char* model_type;
  const char* prefix;  // of the architecture
};

WrittenNames NamesOf(ModelFamily family) {
  switch (family) {
    case ModelFamily::kQwen:
      return {"qwen", "QWenLMHeadModel"};
    case ModelFamily::kQwen2:
      return {"qwen2", "Qwen2"};
    case ModelFamily::kQwen2Moe:
      return {"qwen2_moe", "Qwen2Moe"};
    case ModelFamily::kQwen3:
      return {"qwen3", "Qwen3"};
    case ModelFamily::kQwen3Moe:
      return {"qwen3_moe", "Qwen3Moe"};
    case ModelFamily::kQwen3Next:
      return {"qwen3_next", "Qwen3Next"};
    case ModelFamily::kQwen3_5:
      return {"qwen3_5_text", "Qwen3_5"};
    case ModelFamily::kQwen3_5Moe:
      return {"qwen3_5_moe_text", "Qwen3_5Moe"};
    case ModelFamily::kLlama:
      return {"llama", "Llama"};
  }
  return {};
}

// What every family has under the same key.
Json CommonJson(const ModelConfig& config) {
  return {{"model_type", NamesOf(config.family).model_type},
          {"vocab_size", config.vocab_size},
          {"hidden_size", config.hidden_size},
          {"num_hidden_layers", config.num_layers},
          {"num_attention_heads", config.num_heads},
          {"max_position_embeddings", config.max_positions},
          {"tie_word_embeddings", config.tie_word_embeddings},
          {"torch_dtype", DTypeText(config.dtype)},
          {"initializer_range", config.initializer_range},
          {"use_cache", true},
          {"transformers_version", "4.51.0"}};
}

void PutQwen1(const ModelConfig& config, Json& out) {
  out["architectures"] = {NamesOf(config.family).prefix};
  out["intermediate_size"] = 2 * config.intermediate_size;
  out["kv_channels"] = config.head_dim;
  out["layer_norm_epsilon"] = config.rms_norm_eps;
  out["rotary_emb_base"] = config.rope.theta;
  out["rotary_pct"] = 1.0;
  out["seq_length"] = config.trained_positions;
  out["use_dynamic_ntk"] = config.rope.dynamic_ntk;
  out["use_logn_attn"] = config.log_n_attention;
  out["no_bias"] = true;
  out["scale_attn_weights"] = true;
}

void PutArchitecture(const ModelConfig& config, Json& out) {
  const bool classifier = config.head == ModelHead::kSequenceClassification;
  out["architectures"] = {absl::StrCat(NamesOf(config.family).prefix,
                                       classifier ? "ForSequenceClassification" : "ForCausalLM")};
  if (!classifier) return;
  for (int64_t i = 0; i < config.num_labels; ++i) {
    out["id2label"][absl::StrCat(i)] = absl::StrCat("LABEL_", i);
    out["label2id"][absl::StrCat("LABEL_", i)] = i;
  }
}

}  // namespace

std::string ToHfJson(const ModelConfig& config) {
  Json out = CommonJson(config);
  if (config.family == ModelFamily::kQwen) {
    PutQwen1(config, out);
    PutSpecialTokens(config.bos_token_id, config.eos_token_ids, config.pad_token_id, out);
    return out.dump(2) + "\n";
  }
  PutArchitecture(config, out);
  out["intermediate_size"] = config.intermediate_size;
  out["num_key_value_heads"] = config.num_kv_heads;
  out["rms_norm_eps"] = config.rms_norm_eps;
  out["hidden_act"] = "silu";
  out["attention_dropout"] = 0.0;
  if (config.family == ModelFamily::kQwen2Moe) {
    out["qkv_bias"] = config.qkv_bias;
  } else if (config.family != ModelFamily::kQwen2) {
    out["attention_bias"] = config.qkv_bias;
  }
  const bool derived_head =
      config.family == ModelFamily::kQwen2 || config.family == ModelFamily::kQwen2Moe;
  if (!derived_head || config.head_dim * config.num_heads != config.hidden_size)
    out["head_dim"] = config.head_dim;
  PutRope(config, out);
  if (config.moe.num_experts > 0 || config.family == ModelFamily::kQwen2Moe ||
      config.family == ModelFamily::kQwen3Moe)
    PutMoe(config, out);
  if (IsHybrid(config.family)) {
    PutHybrid(config, out);
  } else if (config.family != ModelFamily::kLlama) {
    PutSlidingWindow(config, out);
  }
  PutSpecialTokens(config.bos_token_id, config.eos_token_ids, config.pad_token_id, out);
  return out.dump(2) + "\n";
}

std::string ToHfJson(const GenerationConfig& config) {
  Json out = {{"transformers_version", "4.51.0"}};
  PutSpecialTokens(config.bos_token_id, config.eos_token_ids, config.pad_token_id, out);
  if (config.do_sample) out["do_sample"] = *config.do_sample;
  if (config.temperature) out["temperature"] = *config.temperature;
  if (config.top_p) out["top_p"] = *config.top_p;
  if (config.top_k) out["top_k"] = *config.top_k;
  if (config.repetition_penalty) out["repetition_penalty"] = *config.repetition_penalty;
  if (config.max_new_tokens) out["max_new_tokens"] = *config.max_new_tokens;
  return out.dump(2) + "\n";
}

}  // namespace oneai::models
