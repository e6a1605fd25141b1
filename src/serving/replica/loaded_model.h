// File: serving/replica/loaded_model.h
//
// A model folder, ready to answer.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "models/config/model_config.h"
#include "serving/engine/engine.h"
#include "serving/replica/prompt_builder.h"
#include "serving/replica/replica_settings.h"

namespace oneai::serving {

struct LoadedModel {
  models::GenerationConfig generation;
  std::unique_ptr<PromptBuilder> prompts;
  std::unique_ptr<ModelRunner> runner;
  TokenTable tokens;  // borrows the tokenizer of `prompts`
  EngineOptions engine_options;
};

// Reads everything and reserves the KV cache. Errors name the file, key or tensor that is missing,
// damaged or contradicts another.
absl::StatusOr<LoadedModel> LoadModel(const ReplicaSettings& settings);

}  // namespace oneai::serving
