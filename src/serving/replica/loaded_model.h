// File: serving/replica/loaded_model.h
//
// A model folder, ready to answer.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "serving/engine/engine.h"
#include "serving/replica/prompt_builder.h"
#include "serving/replica/replica_settings.h"
#include "serving/replica/request_builder.h"

namespace oneai::serving {

struct LoadedModel {
  ReplicaModel model;  // without its adapters, which the engine loads and numbers
  std::unique_ptr<PromptBuilder> prompts;
  std::unique_ptr<GrammarCache> grammars;
  std::unique_ptr<ModelRunner> runner;
  std::unique_ptr<ModelRunner> draft;  // null: none
  TokenTable tokens;                   // borrows the tokenizer of `prompts`
  EngineOptions engine_options;
};

// Reads everything and reserves the KV cache. Errors name the file, key or tensor that is missing,
// damaged or contradicts another.
absl::StatusOr<LoadedModel> LoadModel(const ReplicaSettings& settings);

}  // namespace oneai::serving
