#include "models/gguf/gguf_config.h"

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/gguf/gguf_names.h"
#include "models/gguf/rope_factors.h"

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
                                   {"qwen3_next", "Qwen3NextForCausalLM"},
                                   {"qwen3_5_text", "Qwen3_5ForCausalLM"},
                                   {"qwen3_5_moe_text", "Qwen3_5MoeForCausalLM"},
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
  absl::StatusOr<const GgufIntegers*> Integers(absl::string_view key) const {
    auto values = header_.Integers(Full(key));
    return values.ok() ? values : Annotate(values.status(), file_);
  }
  std::string Full(absl::string_view key) const { return absl::StrCat(architecture_, ".", key); }
  bool hybrid() const { return IsHybridArchitecture(architecture_); }

 private:
  const GgufHeader& header_;
  const std::string architecture_;
  const std::string file_;
};

absl::Status ReadSizes(const ArchitectureKeys& keys, const GgufHeader& header,
                       absl::string_view file, Json& config) {
  ASSIGN_OR_RETURN(const int64_t blocks, keys.Needed("block_count", 1 << 14));
  config["num_hidden_layers"] = blocks;
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
  if (keys.hybrid() && rotary) {
    config["partial_rotary_factor"] =
        static_cast<double>(*rotary) / static_cast<double>(config["head_dim"].get<int64_t>());
  } else if (rotary && config["head_dim"] != *rotary) {
    return absl::UnimplementedError(absl::StrCat(
        file, ": ", keys.Full("rope.dimension_count"), " ", *rotary,
        " is not the head's size; partial rotary embeddings are read in hybrids only"));
  }
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

// The four numbers behind llama 3.1's divisors of rotary frequencies.
absl::Status ReadRopeFactors(const GgufTensor& tensor, absl::string_view bytes,
                             absl::string_view file, Json& config) {
  auto refuse = [&](absl::string_view why) {
    return absl::UnimplementedError(absl::StrCat(file, ": tensor '", kRopeFactorsName, "': ", why));
  };
  const int64_t half = config["head_dim"].get<int64_t>() / 2;
  if (config["model_type"] != "llama") return refuse("is supported in llama only");
  if (tensor.type != BlockType::kF32 || tensor.shape != std::vector<int64_t>{half})
    return refuse(absl::StrCat("is supported as ", half, " numbers of type F32 only"));
  if (tensor.begin + tensor.bytes > static_cast<int64_t>(bytes.size()))
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": tensor '", kRopeFactorsName, "' is cut off"));
  std::vector<float> factors(half);
  std::memcpy(factors.data(), bytes.data() + tensor.begin, tensor.bytes);
  const auto scaling = Llama3ScalingOf(factors, config["rope_theta"].get<double>());
  if (!scaling) return refuse("its numbers are not those of a scaling of type llama3");
  config["rope_scaling"] = {
      {"rope_type", "llama3"},
      {"factor", scaling->factor},
      {"low_freq_factor", scaling->low_frequency_factor},
      {"high_freq_factor", scaling->high_frequency_factor},
      {"original_max_position_embeddings", static_cast<int64_t>(scaling->original_positions)}};
  return absl::OkStatus();
}

absl::Status ReadRope(const ArchitectureKeys& keys, const GgufHeader& header,
                      absl::string_view bytes, absl::string_view file, Json& config) {
  ASSIGN_OR_RETURN(const std::optional<double> theta, keys.Real("rope.freq_base"));
  config["rope_theta"] = theta.value_or(10000.0);
  ASSIGN_OR_RETURN(const std::optional<absl::string_view> type, keys.Text("rope.scaling.type"));
  const bool scaled = type && *type != "none";
  const GgufTensor* factors = FindTensor(header, kRopeFactorsName);
  if (factors != nullptr && scaled)
    return absl::UnimplementedError(absl::StrCat(file, ": tensor '", kRopeFactorsName, "' beside ",
                                                 keys.Full("rope.scaling.type"), " '", *type,
                                                 "' is not supported"));
  if (factors != nullptr) return ReadRopeFactors(*factors, bytes, file, config);
  if (!scaled) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<double> factor, keys.Real("rope.scaling.factor"));
  ASSIGN_OR_RETURN(const std::optional<int64_t> original,
                   keys.Integer("rope.scaling.original_context_length", 1, kPositionsMax));
  Json scaling = {{"type", std::string(*type)}, {"rope_type", std::string(*type)}};
  if (factor) scaling["factor"] = *factor;
  if (original) scaling["original_max_position_embeddings"] = *original;
  config["rope_scaling"] = std::move(scaling);  // the reader of configs knows what is supported
  return absl::OkStatus();
}

// Which layers are of linear attention, and their sizes.
absl::Status ReadHybrid(const ArchitectureKeys& keys, absl::string_view file, Json& config) {
  const int64_t blocks = config["num_hidden_layers"].get<int64_t>();
  ASSIGN_OR_RETURN(const std::optional<int64_t> drafts,
                   keys.Integer("nextn_predict_layers", 0, blocks - 1));
  if (drafts.value_or(0) > 1)
    return absl::UnimplementedError(absl::StrCat(file, ": ", keys.Full("nextn_predict_layers"), " ",
                                                 *drafts, ": one draft layer is supported"));
  const int64_t layers = blocks - drafts.value_or(0);
  config["num_hidden_layers"] = layers;
  config["mtp_num_hidden_layers"] = drafts.value_or(0);
  ASSIGN_OR_RETURN(const GgufIntegers* recurrent, keys.Integers("attention.recurrent_layers"));
  if (recurrent != nullptr) {
    if (static_cast<int64_t>(recurrent->size()) < layers)
      return absl::InvalidArgumentError(absl::StrCat(file, ": ",
                                                     keys.Full("attention.recurrent_layers"),
                                                     " has fewer entries than there are layers"));
    Json names = Json::array();
    for (int64_t i = 0; i < layers; ++i)
      names.push_back((*recurrent)[i] != 0 ? "linear_attention" : "full_attention");
    config["layer_types"] = std::move(names);
  } else {
    ASSIGN_OR_RETURN(const std::optional<int64_t> interval,
                     keys.Integer("full_attention_interval", 1, 1 << 14));
    config["full_attention_interval"] = interval.value_or(4);
  }
  ASSIGN_OR_RETURN(const int64_t key_heads, keys.Needed("ssm.group_count", 1 << 14));
  ASSIGN_OR_RETURN(const int64_t value_heads, keys.Needed("ssm.time_step_rank", 1 << 14));
  ASSIGN_OR_RETURN(const int64_t value_width, keys.Needed("ssm.inner_size"));
  if (value_heads % key_heads != 0 || value_width % value_heads != 0)
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": ", keys.Full("ssm.*"), ": ", key_heads, " key heads, ", value_heads,
                     " value heads and ", value_width, " values do not divide each other"));
  config["linear_num_key_heads"] = key_heads;
  config["linear_num_value_heads"] = value_heads;
  config["linear_value_head_dim"] = value_width / value_heads;
  ASSIGN_OR_RETURN(config["linear_key_head_dim"], keys.Needed("ssm.state_size", 1 << 16));
  ASSIGN_OR_RETURN(config["linear_conv_kernel_dim"], keys.Needed("ssm.conv_kernel", 64));
  // How text beside images is counted; text alone does not need it, other programs do.
  ASSIGN_OR_RETURN(const GgufIntegers* sections, keys.Integers("rope.dimension_sections"));
  if (sections == nullptr || sections->size() < 3) return absl::OkStatus();
  Json& rope = config[config.contains("rope_scaling") ? "rope_scaling" : "rope_parameters"];
  if (rope.is_null()) rope = {{"rope_type", "default"}, {"rope_theta", config["rope_theta"]}};
  rope["mrope_interleaved"] = true;
  rope["mrope_section"] = {(*sections)[0], (*sections)[1], (*sections)[2]};
  return absl::OkStatus();
}

absl::Status ReadExperts(const ArchitectureKeys& keys, absl::string_view model_type, Json& config) {
  ASSIGN_OR_RETURN(const std::optional<int64_t> experts, keys.Integer("expert_count", 0));
  const bool qwen2 = model_type == "qwen2_moe";
  const bool shared = qwen2 || model_type == "qwen3_next" || model_type == "qwen3_5_moe_text";
  if (!shared && model_type != "qwen3_moe") {
    ASSIGN_OR_RETURN(config["intermediate_size"], keys.Needed("feed_forward_length"));
    if (experts.value_or(0) > 0)
      return absl::UnimplementedError(absl::StrCat(keys.Full("expert_count"),
                                                   ": experts are not supported in this "
                                                   "architecture"));
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
  if (shared) {
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

absl::StatusOr<Json> ConfigFromGguf(const GgufHeader& header, absl::string_view bytes,
                                    absl::string_view file) {
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
  RETURN_IF_ERROR(ReadRope(keys, header, bytes, file, config));
  if (keys.hybrid()) RETURN_IF_ERROR(ReadHybrid(keys, file, config));
  RETURN_IF_ERROR(Annotate(ReadExperts(keys, *model_type, config), file));
  if (*model_type == "qwen3" || *model_type == "qwen3_moe" || *model_type == "llama")
    config["attention_bias"] = FindTensor(header, "blk.0.attn_q.bias") != nullptr;
  RETURN_IF_ERROR(ReadTokens(header, file, config));
  return config;
}

absl::StatusOr<Json> ConfigFromGguf(const GgufFile& file) {
  return ConfigFromGguf(file.header, file.mapping->text(), file.path);
}

}  // namespace oneai::models
