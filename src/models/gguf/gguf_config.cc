#include "models/gguf/gguf_config.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "models/gguf/gguf_names.h"

namespace oneai::models {
namespace {

constexpr int64_t kExtentMax = 1 << 26, kPositionsMax = int64_t{1} << 40;

struct ClassNames {
  absl::string_view model_type, class_name;
};
constexpr ClassNames kClasses[] = {{"qwen2", "Qwen2ForCausalLM"},
                                   {"qwen2_moe", "Qwen2MoeForCausalLM"},
                                   {"qwen3", "Qwen3ForCausalLM"},
                                   {"qwen3_moe", "Qwen3MoeForCausalLM"},
                                   {"llama", "LlamaForCausalLM"}};

const GgufTensor* FindTensor(const GgufHeader& header, absl::string_view name) {
  for (const GgufTensor& tensor : header.tensors)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

// Reads `<architecture>.<key>` and says so where one is missing.
class ArchitectureKeys {
 public:
  ArchitectureKeys(const GgufHeader& header, std::string architecture, absl::string_view file)
      : header_(header), architecture_(std::move(architecture)), file_(file) {}

  absl::StatusOr<std::optional<int64_t>> Integer(absl::string_view key, int64_t min = 1,
                                                 int64_t max = kExtentMax) const {
    auto value = header_.Integer(Full(key), min, max);
    return value.ok() ? value : Annotate(value.status(), file_);
  }
  absl::StatusOr<int64_t> Needed(absl::string_view key, int64_t max = kExtentMax) const {
    ASSIGN_OR_RETURN(const std::optional<int64_t> value, Integer(key, 1, max));
    if (!value)
      return absl::InvalidArgumentError(
          absl::StrCat(file_, ": metadata key '", Full(key), "' is missing"));
    return *value;
  }
  absl::StatusOr<std::optional<double>> Real(absl::string_view key) const {
    auto value = header_.Real(Full(key));
    return value.ok() ? value : Annotate(value.status(), file_);
  }
  absl::StatusOr<std::optional<absl::string_view>> Text(absl::string_view key) const {
    auto value = header_.Text(Full(key));
    return value.ok() ? value : Annotate(value.status(), file_);
  }
  std::string Full(absl::string_view key) const { return absl::StrCat(architecture_, ".", key); }

 private:
  const GgufHeader& header_;
  const std::string architecture_;
  const std::string file_;
};

absl::Status ReadSizes(const ArchitectureKeys& keys, const GgufHeader& header,
                       absl::string_view file, Json& config) {
  ASSIGN_OR_RETURN(config["num_hidden_layers"], keys.Needed("block_count", 1 << 14));
  ASSIGN_OR_RETURN(config["max_position_embeddings"], keys.Needed("context_length", kPositionsMax));
  ASSIGN_OR_RETURN(const int64_t hidden, keys.Needed("embedding_length"));
  config["hidden_size"] = hidden;
  ASSIGN_OR_RETURN(const int64_t heads, keys.Needed("attention.head_count", 1 << 14));
  config["num_attention_heads"] = heads;
  ASSIGN_OR_RETURN(const std::optional<int64_t> kv_heads,
                   keys.Integer("attention.head_count_kv", 1, 1 << 14));
  config["num_key_value_heads"] = kv_heads.value_or(heads);
  ASSIGN_OR_RETURN(const std::optional<int64_t> key_length, keys.Integer("attention.key_length"));
  ASSIGN_OR_RETURN(const std::optional<int64_t> value_length,
                   keys.Integer("attention.value_length"));
  if (key_length && value_length && *key_length != *value_length)
    return absl::UnimplementedError(absl::StrCat(file, ": keys of ", *key_length, " and values of ",
                                                 *value_length,
                                                 " numbers a head are not supported"));
  config["head_dim"] = key_length.value_or(hidden / heads);
  ASSIGN_OR_RETURN(const std::optional<int64_t> rotary, keys.Integer("rope.dimension_count"));
  if (rotary && config["head_dim"] != *rotary)
    return absl::UnimplementedError(
        absl::StrCat(file, ": ", keys.Full("rope.dimension_count"), " ", *rotary,
                     " is not the head's size; partial rotary embeddings are not read from GGUF"));
  ASSIGN_OR_RETURN(const std::optional<double> eps, keys.Real("attention.layer_norm_rms_epsilon"));
  if (!eps)
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": metadata key '", keys.Full("attention.layer_norm_rms_epsilon"), "' is missing"));
  // The file holds a float: 1e-6 must not become 9.99999997e-07.
  config["rms_norm_eps"] = std::stod(absl::StrCat(static_cast<float>(*eps)));
  const GgufTensor* embedding = FindTensor(header, "token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2)
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": tensor 'token_embd.weight' is missing or has not two dims"));
  config["vocab_size"] = embedding->shape[0];
  config["tie_word_embeddings"] = FindTensor(header, "output.weight") == nullptr;
  return absl::OkStatus();
}

absl::Status ReadRope(const ArchitectureKeys& keys, const GgufHeader& header,
                      absl::string_view file, Json& config) {
  ASSIGN_OR_RETURN(const std::optional<double> theta, keys.Real("rope.freq_base"));
  config["rope_theta"] = theta.value_or(10000.0);
  if (FindTensor(header, "rope_freqs.weight") != nullptr)
    return absl::UnimplementedError(
        absl::StrCat(file,
                     ": tensor 'rope_freqs.weight': scaling each rotary frequency by itself "
                     "(llama 3.1) is not supported"));
  ASSIGN_OR_RETURN(const std::optional<absl::string_view> type, keys.Text("rope.scaling.type"));
  if (!type || *type == "none") return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<double> factor, keys.Real("rope.scaling.factor"));
  ASSIGN_OR_RETURN(const std::optional<int64_t> original,
                   keys.Integer("rope.scaling.original_context_length", 1, kPositionsMax));
  Json scaling = {{"type", std::string(*type)}, {"rope_type", std::string(*type)}};
  if (factor) scaling["factor"] = *factor;
  if (original) scaling["original_max_position_embeddings"] = *original;
  config["rope_scaling"] = std::move(scaling);  // the reader of configs knows what is supported
  return absl::OkStatus();
}

absl::Status ReadExperts(const ArchitectureKeys& keys, absl::string_view model_type, Json& config) {
  ASSIGN_OR_RETURN(const std::optional<int64_t> experts, keys.Integer("expert_count", 0));
  const bool qwen2 = model_type == "qwen2_moe";
  if (!qwen2 && model_type != "qwen3_moe") {
    ASSIGN_OR_RETURN(config["intermediate_size"], keys.Needed("feed_forward_length"));
    if (experts.value_or(0) > 0)
      return absl::UnimplementedError(absl::StrCat(
          keys.Full("expert_count"), ": experts are supported in qwen2moe and qwen3moe only"));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(config["num_experts"], keys.Needed("expert_count", 1 << 14));
  ASSIGN_OR_RETURN(config["num_experts_per_tok"], keys.Needed("expert_used_count", 1 << 14));
  ASSIGN_OR_RETURN(config["moe_intermediate_size"], keys.Needed("expert_feed_forward_length"));
  ASSIGN_OR_RETURN(const std::optional<int64_t> dense, keys.Integer("feed_forward_length", 0));
  config["intermediate_size"] =
      dense.value_or(0) > 0 ? Json(*dense) : config["moe_intermediate_size"];
  config["decoder_sparse_step"] = 1;
  config["mlp_only_layers"] = Json::array();
  config["norm_topk_prob"] = !qwen2;  // llama.cpp fixes it by architecture
  if (qwen2) {
    ASSIGN_OR_RETURN(config["shared_expert_intermediate_size"],
                     keys.Needed("expert_shared_feed_forward_length"));
  }
  return absl::OkStatus();
}

absl::Status ReadTokens(const GgufHeader& header, absl::string_view file, Json& config) {
  constexpr std::pair<absl::string_view, const char*> kIds[] = {
      {"tokenizer.ggml.bos_token_id", "bos_token_id"},
      {"tokenizer.ggml.eos_token_id", "eos_token_id"},
      {"tokenizer.ggml.padding_token_id", "pad_token_id"}};
  const int64_t vocab_size = config["vocab_size"].get<int64_t>();
  for (const auto& [key, name] : kIds) {
    const auto id = header.Integer(key, 0, vocab_size - 1);
    if (!id.ok()) return Annotate(id.status(), file);
    if (*id) config[name] = **id;
  }
  return absl::OkStatus();
}

// The widest plain type among the matrices; codes were made from 16 bits as a rule.
const char* DTypeOf(const GgufHeader& header) {
  const GgufTensor* embedding = FindTensor(header, "token_embd.weight");
  if (embedding != nullptr && embedding->type == BlockType::kF32) return "float32";
  if (embedding != nullptr && embedding->type == BlockType::kF16) return "float16";
  return "bfloat16";
}

}  // namespace

absl::StatusOr<Json> ConfigFromGguf(const GgufHeader& header, absl::string_view file) {
  const auto architecture = header.Text("general.architecture");
  if (!architecture.ok()) return Annotate(architecture.status(), file);
  if (!*architecture)
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": metadata key 'general.architecture' is missing"));
  const std::optional<std::string> model_type = HfModelType(**architecture);
  if (!model_type)
    return absl::UnimplementedError(absl::StrCat(file, ": architecture '",
                                                 (*architecture)->substr(0, 60), "' is not read; ",
                                                 KnownGgufArchitectures(), " are"));
  const ArchitectureKeys keys(header, std::string(**architecture), file);
  Json config = {
      {"model_type", *model_type}, {"hidden_act", "silu"}, {"torch_dtype", DTypeOf(header)}};
  for (const ClassNames& names : kClasses)
    if (names.model_type == *model_type) config["architectures"] = {names.class_name};
  RETURN_IF_ERROR(ReadSizes(keys, header, file, config));
  RETURN_IF_ERROR(ReadRope(keys, header, file, config));
  RETURN_IF_ERROR(Annotate(ReadExperts(keys, *model_type, config), file));
  if (*model_type == "qwen3" || *model_type == "qwen3_moe" || *model_type == "llama")
    config["attention_bias"] = FindTensor(header, "blk.0.attn_q.bias") != nullptr;
  RETURN_IF_ERROR(ReadTokens(header, file, config));
  return config;
}

namespace {

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
  if (root.Has("norm_topk_prob") && absl::EndsWith(model_type, "_moe")) {
    ASSIGN_OR_RETURN(const bool normalised, root.BoolOr("norm_topk_prob", false));
    if (normalised != (model_type == "qwen3_moe"))
      return refuse("norm_topk_prob", "llama.cpp fixes it by architecture");
  }
  return absl::OkStatus();
}

absl::Status PutRope(const JsonObject& root, const std::string& prefix, GgufMetadata& metadata) {
  ASSIGN_OR_RETURN(double theta, root.DoubleOr("rope_theta", 10000.0));
  const char* key = root.Has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (root.Has(key)) {
    ASSIGN_OR_RETURN(const JsonObject scaling, root.Object(key));
    ASSIGN_OR_RETURN(theta, scaling.DoubleOr("rope_theta", theta));
    ASSIGN_OR_RETURN(const std::string type,
                     scaling.StringOr(scaling.Has("rope_type") ? "rope_type" : "type", "default"));
    if (type == "yarn") {
      ASSIGN_OR_RETURN(const double factor, scaling.Double("factor"));
      ASSIGN_OR_RETURN(const int64_t positions, root.IntOr("max_position_embeddings", 32768));
      ASSIGN_OR_RETURN(const int64_t original, scaling.IntOr("original_max_position_embeddings",
                                                             positions, {1, UINT32_MAX}));
      metadata.PutText(prefix + "rope.scaling.type", "yarn");
      metadata.PutF32(prefix + "rope.scaling.factor", static_cast<float>(factor));
      metadata.PutU32(prefix + "rope.scaling.original_context_length",
                      static_cast<uint32_t>(original));
    } else if (type != "default") {
      return absl::UnimplementedError(absl::StrCat(root.what(), ": ", key, ": '", type,
                                                   "' cannot be written as GGUF; yarn can"));
    }
  }
  metadata.PutF32(prefix + "rope.freq_base", static_cast<float>(theta));
  return absl::OkStatus();
}

}  // namespace

absl::Status PutGgufConfig(const Json& config, absl::string_view what, GgufMetadata& metadata) {
  ASSIGN_OR_RETURN(const JsonObject root, JsonObject::From(config, what));
  ASSIGN_OR_RETURN(const std::string model_type, root.String("model_type"));
  const std::optional<std::string> architecture = GgufArchitecture(model_type);
  if (!architecture)
    return absl::UnimplementedError(absl::StrCat(what, ": model_type '", model_type,
                                                 "' cannot be written as GGUF; those of ",
                                                 KnownGgufArchitectures(), " can"));
  RETURN_IF_ERROR(RefuseUnsayable(root, model_type));
  const std::string prefix = *architecture + ".";
  constexpr IntRange kRange = {1, kExtentMax};
  auto put = [&](const char* key, absl::string_view name) -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t value, root.Int(key, {0, UINT32_MAX}));
    metadata.PutU32(prefix + std::string(name), static_cast<uint32_t>(value));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(put("num_hidden_layers", "block_count"));
  RETURN_IF_ERROR(put("max_position_embeddings", "context_length"));
  RETURN_IF_ERROR(put("hidden_size", "embedding_length"));
  RETURN_IF_ERROR(put("intermediate_size", "feed_forward_length"));
  RETURN_IF_ERROR(put("vocab_size", "vocab_size"));
  ASSIGN_OR_RETURN(const int64_t hidden, root.Int("hidden_size", kRange));
  ASSIGN_OR_RETURN(const int64_t heads, root.Int("num_attention_heads", kRange));
  ASSIGN_OR_RETURN(const int64_t kv_heads, root.IntOr("num_key_value_heads", heads, kRange));
  const bool qwen3 = absl::StartsWith(model_type, "qwen3");
  ASSIGN_OR_RETURN(const int64_t head_dim,
                   root.IntOr("head_dim", qwen3 ? 128 : hidden / heads, kRange));
  ASSIGN_OR_RETURN(const double eps, root.DoubleOr("rms_norm_eps", 1e-6));
  metadata.PutU32(prefix + "attention.head_count", static_cast<uint32_t>(heads));
  metadata.PutU32(prefix + "attention.head_count_kv", static_cast<uint32_t>(kv_heads));
  metadata.PutU32(prefix + "attention.key_length", static_cast<uint32_t>(head_dim));
  metadata.PutU32(prefix + "attention.value_length", static_cast<uint32_t>(head_dim));
  metadata.PutU32(prefix + "rope.dimension_count", static_cast<uint32_t>(head_dim));
  metadata.PutF32(prefix + "attention.layer_norm_rms_epsilon", static_cast<float>(eps));
  RETURN_IF_ERROR(PutRope(root, prefix, metadata));
  if (absl::EndsWith(model_type, "_moe")) {
    RETURN_IF_ERROR(put("num_experts", "expert_count"));
    RETURN_IF_ERROR(put("num_experts_per_tok", "expert_used_count"));
    RETURN_IF_ERROR(put("moe_intermediate_size", "expert_feed_forward_length"));
    if (model_type == "qwen2_moe")
      RETURN_IF_ERROR(put("shared_expert_intermediate_size", "expert_shared_feed_forward_length"));
  }
  return absl::OkStatus();
}

}  // namespace oneai::models
