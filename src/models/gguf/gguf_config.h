// File: models/gguf/gguf_config.h
//
// The hyperparameters in GGUF metadata as a Hugging Face config.json and back, so that there is one
// reader of configurations (models/config). Source: gguf-py constants.py (keys), llama.cpp's
// conversion of each architecture (which configuration key goes where).
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/gguf/gguf_file.h"
#include "models/gguf/gguf_writer.h"
#include "models/json/json_reader.h"

namespace oneai::models {

// config.json of the model in `file`, whose `bytes` begin with what `header` was parsed from and
// may be cut off behind the header. Unimplemented: an architecture or setting that is not read.
// InvalidArgument, naming the key: one that is missing or out of range.
absl::StatusOr<Json> ConfigFromGguf(const GgufHeader& header, absl::string_view bytes,
                                    absl::string_view file);
absl::StatusOr<Json> ConfigFromGguf(const GgufFile& file);

// The language model's part of `config` (a config.json, named `what` in errors) without nesting, as
// the two functions below and LayoutOf (gguf_layout.h) take it. What was flat comes back as it is.
absl::StatusOr<Json> FlattenConfig(const Json& config, absl::string_view what);

// Puts `general.architecture`'s keys, `<architecture>.*`, for `config`. `num_draft_layers`: layers
// of the multi-token-prediction head that are written, too; 0 or 1, hybrids only. Unimplemented: a
// model type or setting that GGUF cannot say.
absl::Status PutGgufConfig(const Json& config, absl::string_view what, int64_t num_draft_layers,
                           GgufMetadata& metadata);

// The values of tensor kRopeFactorsName for `config`; empty: its model has none.
absl::StatusOr<std::vector<float>> RopeFactorsOf(const Json& config, absl::string_view what);

}  // namespace oneai::models
