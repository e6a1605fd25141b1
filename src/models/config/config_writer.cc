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

Json RopeScalingJson(const RopeConfig& rope) {
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

}  // namespace

std::string ToHfJson(const ModelConfig& config) {
  const bool qwen2 = config.family == ModelFamily::kQwen2;
  const std::string prefix = qwen2 ? "Qwen2" : "Qwen3";
  Json out = {{"model_type", ModelFamilyName(config.family)},
              {"vocab_size", config.vocab_size},
              {"hidden_size", config.hidden_size},
              {"intermediate_size", config.intermediate_size},
              {"num_hidden_layers", config.num_layers},
              {"num_attention_heads", config.num_heads},
              {"num_key_value_heads", config.num_kv_heads},
              {"max_position_embeddings", config.max_positions},
              {"rms_norm_eps", config.rms_norm_eps},
              {"rope_theta", config.rope.theta},
              {"tie_word_embeddings", config.tie_word_embeddings},
              {"torch_dtype", DTypeText(config.dtype)},
              {"initializer_range", config.initializer_range},
              {"hidden_act", "silu"},
              {"attention_dropout", 0.0},
              {"use_cache", true},
              {"transformers_version", "4.51.0"}};
  const bool classifier = config.head == ModelHead::kSequenceClassification;
  out["architectures"] = {prefix + (classifier ? "ForSequenceClassification" : "ForCausalLM")};
  if (classifier) {
    for (int64_t i = 0; i < config.num_labels; ++i) {
      out["id2label"][absl::StrCat(i)] = absl::StrCat("LABEL_", i);
      out["label2id"][absl::StrCat("LABEL_", i)] = i;
    }
  }
  if (!qwen2) {
    out["head_dim"] = config.head_dim;
    out["attention_bias"] = config.qkv_bias;
  } else if (config.head_dim * config.num_heads != config.hidden_size) {
    out["head_dim"] = config.head_dim;
  }
  if (config.rope.scaling == RopeScaling::kYarn) out["rope_scaling"] = RopeScalingJson(config.rope);
  PutSlidingWindow(config, out);
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
