#include <nlohmann/json.hpp>

#include "base/config/reader.h"
#include "base/status.h"
#include "model_platform/settings/names.h"
#include "model_platform/settings/settings.h"

namespace oneai::platform {
namespace {

constexpr double kTokensMax = 1 << 20;

void ReadTokenizer(ConfigReader& reader, TokenizerSettings& out) {
  ConfigReader section = reader.Section("tokenizer");
  // 256 bytes and a handful of special tokens are the least that a byte-level tokenizer can have.
  section.Optional("vocab_size", out.vocab_size, Range{300, 1 << 20});
  section.Optional("from_model", out.from_model);
}

void ReadModel(ConfigReader& reader, ModelSettings& out) {
  if (!reader.Has("model")) {
    reader.Fail("model", "is required: the shape of the model to train");
    return;
  }
  ConfigReader section = reader.Section("model");
  section.OptionalChoice("architecture", out.architecture, {"qwen2", "qwen3"});
  section.Required("hidden_size", out.hidden_size, Range{8, 65536});
  section.Required("intermediate_size", out.intermediate_size, Range{8, 1 << 20});
  section.Required("num_hidden_layers", out.num_hidden_layers, Range{1, 1024});
  section.Required("num_attention_heads", out.num_attention_heads, Range{1, 1024});
  section.Optional("num_key_value_heads", out.num_key_value_heads, Range{1, 1024});
  section.Optional("head_dim", out.head_dim, Range{2, 1024});
  section.Optional("max_position_embeddings", out.max_position_embeddings, Range{2, kTokensMax});
  section.Optional("rope_theta", out.rope_theta, Range{1, 1e12});
  section.Optional("rms_norm_eps", out.rms_norm_eps, Range{1e-12, 1e-1});
  section.Optional("initializer_range", out.initializer_range, Range{1e-6, 1});
  section.Optional("tie_word_embeddings", out.tie_word_embeddings);
}

void ReadSchedule(ConfigReader& reader, PretrainSettings& out) {
  std::string scheduler(NameOf(kLrSchedulers, out.lr_scheduler_type));
  reader.OptionalChoice("lr_scheduler_type", scheduler, NamesOf(kLrSchedulers));
  out.lr_scheduler_type = ValueOf(kLrSchedulers, scheduler, out.lr_scheduler_type);
  std::string decay(NameOf(kLrDecays, out.decay_type));
  reader.OptionalChoice("decay_type", decay, NamesOf(kLrDecays));
  out.decay_type = ValueOf(kLrDecays, decay, out.decay_type);
  reader.Optional("num_decay_steps", out.num_decay_steps, Range{1, 1e9});
  reader.Optional("warmup_steps", out.warmup_steps, Range{0, 1e9});
  reader.Optional("learning_rate", out.learning_rate, Range{1e-12, 10});
  reader.Optional("min_lr_ratio", out.min_lr_ratio, Range{0, 1});
}

void ReadOptimizer(ConfigReader& reader, PretrainSettings& out) {
  reader.Optional("weight_decay", out.weight_decay, Range{0, 10});
  reader.Optional("adam_beta1", out.adam_beta1, Range{0, 0.999999});
  reader.Optional("adam_beta2", out.adam_beta2, Range{0, 0.9999999});
  reader.Optional("adam_epsilon", out.adam_epsilon, Range{1e-20, 1});
  reader.Optional("max_grad_norm", out.max_grad_norm, Range{1e-6, 1e9});
}

absl::Status KeyError(absl::string_view key, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("key '", key, "': ", problem));
}

absl::Status ValidateModel(const PretrainSettings& s) {
  const ModelSettings& m = s.model;
  if (m.hidden_size <= 0) return KeyError("model.hidden_size", "is required");
  if (m.intermediate_size <= 0) return KeyError("model.intermediate_size", "is required");
  if (m.num_hidden_layers <= 0) return KeyError("model.num_hidden_layers", "is required");
  if (m.num_attention_heads <= 0) return KeyError("model.num_attention_heads", "is required");
  if (m.num_key_value_heads > 0 && m.num_attention_heads % m.num_key_value_heads != 0) {
    return KeyError("model.num_key_value_heads",
                    absl::StrCat(m.num_key_value_heads, " does not divide num_attention_heads ",
                                 m.num_attention_heads));
  }
  if (m.head_dim == 0 && m.hidden_size % m.num_attention_heads != 0) {
    return KeyError("model.hidden_size",
                    absl::StrCat(m.hidden_size, " is not a multiple of num_attention_heads ",
                                 m.num_attention_heads, "; set head_dim"));
  }
  const int64_t head_dim = m.head_dim > 0 ? m.head_dim : m.hidden_size / m.num_attention_heads;
  if (head_dim % 2 != 0) return KeyError("model.head_dim", "must be even: rope rotates pairs");
  if (m.max_position_embeddings > 0 && m.max_position_embeddings < s.max_length) {
    return KeyError(
        "model.max_position_embeddings",
        absl::StrCat(m.max_position_embeddings, " is less than max_length ", s.max_length));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const PretrainSettings& s) {
  if (!IsReference(s.dataset)) {
    return KeyError("dataset", absl::StrCat("'", s.dataset, "' is not <unit>/<name>[@version]"));
  }
  if (s.purpose.empty()) return KeyError("purpose", "is empty: governance must be told one");
  if (!s.register_as.empty() && !IsQualifiedName(s.register_as)) {
    return KeyError("register_as", absl::StrCat("'", s.register_as, "' is not <unit>/<model>"));
  }
  // A version, not an alias: what an alias means may change between two attempts of the job.
  const std::string& from = s.tokenizer.from_model;
  const size_t at = from.find('@');
  if (!from.empty() && (!IsReference(from) || at == std::string::npos ||
                        from.find_first_not_of("0123456789", at + 1) != std::string::npos)) {
    return KeyError("tokenizer.from_model",
                    absl::StrCat("'", from, "' is not <unit>/<model>@<version number>"));
  }
  if (s.max_steps <= 0) return KeyError("max_steps", "is required and at least 1");
  if (s.warmup_steps >= s.max_steps && s.warmup_steps > 0) {
    return KeyError("warmup_steps", absl::StrCat(s.warmup_steps, " leaves none of max_steps ",
                                                 s.max_steps, " to train at the full rate"));
  }
  if (s.num_decay_steps + s.warmup_steps > s.max_steps) {
    return KeyError("num_decay_steps",
                    absl::StrCat(s.num_decay_steps, " and warmup_steps ", s.warmup_steps,
                                 " exceed max_steps ", s.max_steps));
  }
  return ValidateModel(s);
}

absl::StatusOr<PretrainSettings> ParsePretrainSettings(absl::string_view text, std::string source) {
  ASSIGN_OR_RETURN(const ConfigDocument document, ConfigDocument::Parse(text, source));
  ConfigReader reader(document);
  PretrainSettings s;
  reader.Required("dataset", s.dataset);
  reader.Optional("purpose", s.purpose);
  reader.Optional("split_dataset_ratio", s.split_dataset_ratio, Range{0, 0.9});
  reader.Optional("document_separator", s.documents.separator);
  reader.Optional("paragraphs_per_document", s.documents.paragraphs_per_document, Range{1, 1e9});
  ReadTokenizer(reader, s.tokenizer);
  ReadModel(reader, s.model);
  reader.Optional("max_length", s.max_length, Range{2, kTokensMax});
  reader.Optional("per_device_train_batch_size", s.per_device_train_batch_size, Range{1, 65536});
  reader.Optional("gradient_accumulation_steps", s.gradient_accumulation_steps, Range{1, 65536});
  reader.Required("max_steps", s.max_steps, Range{1, 1e9});
  ReadSchedule(reader, s);
  ReadOptimizer(reader, s);
  reader.Optional("bf16", s.bf16);
  std::string dtype(NameOf(kWeightsDtypes, s.torch_dtype));
  reader.OptionalChoice("torch_dtype", dtype, NamesOf(kWeightsDtypes));
  s.torch_dtype = ValueOf(kWeightsDtypes, dtype, s.torch_dtype);
  reader.Optional("seed", s.seed, Range{0, 9e15});
  reader.Optional("save_steps", s.save_steps, Range{1, 1e9});
  reader.Optional("save_total_limit", s.save_total_limit, Range{1, 1e6});
  reader.Optional("logging_steps", s.logging_steps, Range{1, 1e9});
  reader.Optional("register_as", s.register_as);
  RETURN_IF_ERROR(reader.Finish());
  if (absl::Status status = Validate(s); !status.ok()) return Annotate(status, source);
  return s;
}

std::string CanonicalJson(const PretrainSettings& s) {
  nlohmann::json model = {{"architecture", s.model.architecture},
                          {"hidden_size", s.model.hidden_size},
                          {"intermediate_size", s.model.intermediate_size},
                          {"num_hidden_layers", s.model.num_hidden_layers},
                          {"num_attention_heads", s.model.num_attention_heads},
                          {"rope_theta", s.model.rope_theta},
                          {"rms_norm_eps", s.model.rms_norm_eps},
                          {"initializer_range", s.model.initializer_range},
                          {"tie_word_embeddings", s.model.tie_word_embeddings}};
  // A zero in these means "derived" and is not a value that a file may state.
  auto put_if_set = [](nlohmann::json& object, const char* key, int64_t value) {
    if (value > 0) object[key] = value;
  };
  put_if_set(model, "num_key_value_heads", s.model.num_key_value_heads);
  put_if_set(model, "head_dim", s.model.head_dim);
  put_if_set(model, "max_position_embeddings", s.model.max_position_embeddings);
  nlohmann::json json = {
      {"dataset", s.dataset},
      {"purpose", s.purpose},
      {"split_dataset_ratio", s.split_dataset_ratio},
      {"document_separator", s.documents.separator},
      {"paragraphs_per_document", s.documents.paragraphs_per_document},
      {"tokenizer",
       {{"vocab_size", s.tokenizer.vocab_size}, {"from_model", s.tokenizer.from_model}}},
      {"model", model},
      {"max_length", s.max_length},
      {"per_device_train_batch_size", s.per_device_train_batch_size},
      {"gradient_accumulation_steps", s.gradient_accumulation_steps},
      {"max_steps", s.max_steps},
      {"learning_rate", s.learning_rate},
      {"min_lr_ratio", s.min_lr_ratio},
      {"lr_scheduler_type", NameOf(kLrSchedulers, s.lr_scheduler_type)},
      {"decay_type", NameOf(kLrDecays, s.decay_type)},
      {"warmup_steps", s.warmup_steps},
      {"weight_decay", s.weight_decay},
      {"adam_beta1", s.adam_beta1},
      {"adam_beta2", s.adam_beta2},
      {"adam_epsilon", s.adam_epsilon},
      {"max_grad_norm", s.max_grad_norm},
      {"bf16", s.bf16},
      {"torch_dtype", NameOf(kWeightsDtypes, s.torch_dtype)},
      {"seed", s.seed},
      {"save_steps", s.save_steps},
      {"save_total_limit", s.save_total_limit},
      {"logging_steps", s.logging_steps},
      {"register_as", s.register_as}};
  put_if_set(json, "num_decay_steps", s.num_decay_steps);
  return json.dump();
}

}  // namespace oneai::platform
