// File: models/weights/model_files.h
//
// Configuration and tokenizer of a model, whether it is a Hugging Face folder or a GGUF file: the
// same values come out of both. The weights are OpenWeights().
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "models/config/model_config.h"
#include "models/json/json_reader.h"
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/tokenizer_spec.h"

namespace oneai::models {

// config.json, read or (GGUF) made from the metadata. NotFound: there is none. Otherwise as
// ParseModelConfig and ConfigFromGguf.
absl::StatusOr<Json> LoadConfigJson(const std::filesystem::path& path);

// The same as a value. How weights are stored (quantization_config) is the matter of OpenWeights.
absl::StatusOr<ModelConfig> LoadModelConfigOf(const std::filesystem::path& path);

struct TokenizerFiles {
  TokenizerSpec spec;
  TokenizerConfig config;  // with the chat template, if any
};

// Errors as LoadTokenizerSpec, LoadTokenizerConfig and TokenizerFromGguf.
absl::StatusOr<TokenizerFiles> LoadTokenizerFiles(const std::filesystem::path& path);

// LoadTokenizerFiles, indexed.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizerOf(const std::filesystem::path& path);

}  // namespace oneai::models
