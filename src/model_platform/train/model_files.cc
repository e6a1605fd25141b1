#include "model_platform/train/model_files.h"

#include "absl/strings/str_format.h"
#include "base/files/files.h"
#include "base/status.h"

namespace oneai::platform {
namespace {

namespace fs = std::filesystem;

std::string CardText(const PretrainSettings& s, const PreparedData& data, const TrainerState& state,
                     const ModelCard& card) {
  std::string yaml =
      absl::StrCat("---\nlibrary_name: transformers\npipeline_tag: text-generation\n",
                   data.license.empty() ? "" : "license: other\nlicense_name: ", data.license,
                   data.license.empty() ? "" : "\n", "datasets:\n- ", data.dataset, "\n---\n");
  std::string text =
      absl::StrCat("\n# ", s.register_as.empty() ? "Checkpoint" : s.register_as, "\n\nA ",
                   s.model.architecture, " language model of ", card.num_parameters,
                   " parameters, pre-trained from scratch by oneai.\n\n| | |\n|---|---|\n| data | ",
                   data.dataset, "@", data.version, " (sha256 ", data.sha256,
                   ") |\n| tokens in the training split | ", data.train_tokens,
                   " |\n| documents held out | ", data.held_out_documents, " |\n| vocabulary | ",
                   data.vocab_size, " |\n| context | ", s.max_length, " |\n| step | ", state.step,
                   " of ", s.max_steps, " |\n| sequences seen | ", state.consumed_samples,
                   " |\n| job | ", card.job_id, " |\n| code | ", card.code_revision, " |\n");
  if (!state.losses.empty()) {
    absl::StrAppendFormat(&text, "| training loss | %.4f |\n", state.losses.back());
  }
  absl::StrAppend(
      &text, "\nIt continues text. It has not been aligned, and repeats what is in its data.\n");
  return yaml + text;
}

}  // namespace

absl::StatusOr<models::ModelConfig> MakeModelConfig(const PretrainSettings& s,
                                                    const PreparedData& data) {
  const ModelSettings& m = s.model;
  models::ModelConfig config;
  const bool qwen3 = m.architecture == "qwen3";
  config.family = qwen3 ? models::ModelFamily::kQwen3 : models::ModelFamily::kQwen2;
  config.qk_norm = qwen3;
  config.qkv_bias = !qwen3;
  config.vocab_size = data.vocab_size;
  config.hidden_size = m.hidden_size;
  config.intermediate_size = m.intermediate_size;
  config.num_layers = m.num_hidden_layers;
  config.num_heads = m.num_attention_heads;
  config.num_kv_heads = m.num_key_value_heads > 0 ? m.num_key_value_heads : m.num_attention_heads;
  config.head_dim = m.head_dim > 0 ? m.head_dim : m.hidden_size / m.num_attention_heads;
  config.max_positions = m.max_position_embeddings > 0 ? m.max_position_embeddings : s.max_length;
  config.rms_norm_eps = m.rms_norm_eps;
  config.rope.theta = m.rope_theta;
  config.initializer_range = m.initializer_range;
  config.tie_word_embeddings = m.tie_word_embeddings;
  config.layer_types.assign(config.num_layers, models::LayerType::kFullAttention);
  config.dtype =
      s.torch_dtype == WeightsDtype::kBfloat16 ? models::DType::kBF16 : models::DType::kF32;
  config.eos_token_ids = {data.end_of_document};
  config.pad_token_id = data.end_of_document;
  RETURN_IF_ERROR(models::ValidateModelConfig(config));
  return config;
}

absl::Status WriteModelFiles(const PretrainSettings& settings, const PreparedData& data,
                             const TrainerState& state, const ModelCard& card,
                             const fs::path& folder) {
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(data.tokenizer_dir() / name, 128 << 20));
    RETURN_IF_ERROR(WriteFileAtomically(folder / name, text));
  }
  models::GenerationConfig generation;
  generation.eos_token_ids = {data.end_of_document};
  generation.pad_token_id = data.end_of_document;
  generation.do_sample = true;
  generation.temperature = 0.8;
  generation.top_p = 0.95;
  RETURN_IF_ERROR(
      WriteFileAtomically(folder / "generation_config.json", models::ToHfJson(generation)));
  return WriteFileAtomically(folder / "README.md", CardText(settings, data, state, card));
}

}  // namespace oneai::platform
