// File: models/gguf/gguf_config.h
//
// The hyperparameters in GGUF metadata as a Hugging Face config.json and back, so that there is one
// reader of configurations (models/config). Source: gguf-py constants.py (keys), llama.cpp's
// conversion of each architecture (which configuration key goes where).
#pragma once

#include "absl/status/statusor.h"
#include "models/gguf/gguf_file.h"
#include "models/gguf/gguf_writer.h"
#include "models/json/json_reader.h"

namespace oneai::models {

// config.json of the model in `file`. Unimplemented: an architecture that is not read.
// InvalidArgument, naming the key: one that is missing or out of range.
absl::StatusOr<Json> ConfigFromGguf(const GgufHeader& header, absl::string_view file);

// Puts `general.architecture` and the `<architecture>.*` keys for `config` (a config.json). `what`
// names it in errors. Unimplemented: a model type or setting that GGUF cannot say.
absl::Status PutGgufConfig(const Json& config, absl::string_view what, GgufMetadata& metadata);

}  // namespace oneai::models
