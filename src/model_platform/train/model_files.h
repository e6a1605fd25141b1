// File: model_platform/train/model_files.h
//
// The files beside the weights that make a folder a Hugging Face model: tokenizer, generation
// settings, model card.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "model_platform/data/prepare.h"
#include "model_platform/settings/settings.h"
#include "model_platform/train/trainer_state.h"
#include "models/config/model_config.h"

namespace oneai::platform {

// The model that `settings` describe over the tokenizer of `data`. InvalidArgument: it cannot be.
absl::StatusOr<models::ModelConfig> MakeModelConfig(const PretrainSettings& settings,
                                                    const PreparedData& data);

// What the model card says.
struct ModelCard {
  std::string code_revision;
  std::string job_id;
  int64_t num_parameters = 0;
};

// Writes tokenizer.json, tokenizer_config.json, generation_config.json and README.md into `folder`.
// The text depends on the arguments alone, so equal runs give equal folders.
absl::Status WriteModelFiles(const PretrainSettings& settings, const PreparedData& data,
                             const TrainerState& state, const ModelCard& card,
                             const std::filesystem::path& folder);

}  // namespace oneai::platform
