// File: model_platform/settings/settings.h
//
// What a `pretrain` and an `evaluate` job may be told, as values. Keys are those of Hugging Face's
// TrainingArguments and model configs wherever they have a word for it. The controller parses them
// at submit, so that a bad job is refused before it waits for a node; the trainer parses them again
// from its task folder.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace oneai::platform {

// How files become documents. A document is never cut by another's text in training: attention does
// not cross its bounds.
struct DocumentRules {
  // Plain text is cut here; "" makes a whole file one document. JSON lines ignore it.
  std::string separator = "\n\n";
  // So many consecutive pieces of plain text form one document: longer documents give the model
  // more context, fewer of them make a coarser split.
  int64_t paragraphs_per_document = 1;

  bool operator==(const DocumentRules&) const = default;
};

struct TokenizerSettings {
  int64_t vocab_size = 2048;  // to train to, special tokens included
  std::string from_model;     // "name@version" in the registry: use its tokenizer, train none

  bool operator==(const TokenizerSettings&) const = default;
};

// Shape of the model; the vocabulary comes from the tokenizer.
struct ModelSettings {
  std::string architecture = "qwen3";  // qwen3 | qwen2
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;      // 0: as num_attention_heads
  int64_t head_dim = 0;                 // 0: hidden_size / num_attention_heads
  int64_t max_position_embeddings = 0;  // 0: max_length
  double rope_theta = 10000.0;
  double rms_norm_eps = 1e-6;
  double initializer_range = 0.02;
  bool tie_word_embeddings = true;

  bool operator==(const ModelSettings&) const = default;
};

enum class LrScheduler { kCosine, kWsd };
enum class LrDecay { kLinear, kCosine, kMinusSqrt };
enum class WeightsDtype { kBfloat16, kFloat32 };

struct PretrainSettings {
  std::string dataset;                  // "unit/name" or "unit/name@version"
  std::string purpose = "pretraining";  // what governance is told
  double split_dataset_ratio = 0.05;    // share of documents held out for evaluation
  DocumentRules documents;
  TokenizerSettings tokenizer;
  ModelSettings model;

  int64_t max_length = 256;                 // tokens of a packed sequence
  int64_t per_device_train_batch_size = 8;  // sequences of a micro-batch on each rank
  int64_t gradient_accumulation_steps = 1;
  int64_t max_steps = 0;

  double learning_rate = 3e-4;
  double min_lr_ratio = 0.1;  // of learning_rate, where the schedule ends
  LrScheduler lr_scheduler_type = LrScheduler::kCosine;
  LrDecay decay_type = LrDecay::kCosine;  // of wsd
  int64_t num_decay_steps = 0;            // of wsd; 0: a fifth of max_steps
  int64_t warmup_steps = 0;
  double weight_decay = 0.1;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.95;
  double adam_epsilon = 1e-8;
  double max_grad_norm = 1.0;

  bool bf16 = true;  // compute dtype; master weights are float32 either way
  WeightsDtype torch_dtype = WeightsDtype::kBfloat16;  // of the weights in checkpoints
  int64_t seed = 42;
  int64_t save_steps = 500;
  int64_t save_total_limit = 2;
  int64_t logging_steps = 5;
  std::string register_as;  // "unit/model"; "": do not register

  bool operator==(const PretrainSettings&) const = default;
};

struct EvaluateSettings {
  std::string model;  // name, name@version or name@alias
  std::string dataset;
  std::string purpose = "evaluation";
  std::string task = "perplexity";
  std::string split = "validation";  // validation | train | all
  // Rules of the split; when `split` is not "all" and they are absent, those of the model's own
  // training settings (its lineage) hold, so that held-out means held out.
  double split_dataset_ratio = -1;  // -1: from the lineage
  DocumentRules documents;
  bool has_document_rules = false;
  int64_t max_length = 0;     // 0: the model's
  int64_t max_documents = 0;  // 0: all
  // Weights as they are stored (in 16 bits where they are floating point), or quantised when they
  // are loaded, as an endpoint with `quantize` does: what that costs is the difference.
  std::string weights = "stored";  // stored | int8 | int4

  bool operator==(const EvaluateSettings&) const = default;
};

// Strict: InvalidArgument names `source`, the key and the line for unknown keys, wrong types,
// values out of range and contradictions between keys.
absl::StatusOr<PretrainSettings> ParsePretrainSettings(absl::string_view text, std::string source);
absl::StatusOr<EvaluateSettings> ParseEvaluateSettings(absl::string_view text, std::string source);

// The checks between fields, for settings that were built rather than parsed. InvalidArgument names
// the key.
absl::Status Validate(const PretrainSettings& settings);
absl::Status Validate(const EvaluateSettings& settings);

// Every field as JSON with sorted keys; parsing it gives the settings back. Equal settings give
// equal text: its hash is their identity in checkpoints and lineage.
std::string CanonicalJson(const PretrainSettings& settings);

// "unit/name", both of [a-z0-9._-] and beginning with a letter or digit, at most 64 characters
// each.
bool IsQualifiedName(absl::string_view name);
// A qualified name with an optional "@version" or "@alias".
bool IsReference(absl::string_view ref);

}  // namespace oneai::platform
