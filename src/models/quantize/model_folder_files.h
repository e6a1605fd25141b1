// File: models/quantize/model_folder_files.h
//
// What a model folder holds besides weights.
#pragma once

#include <filesystem>

#include "absl/status/status.h"
#include "models/json/json_reader.h"

namespace oneai::models {

// Writes config.json (`config`) and the tokenizer, generation and licence files of `source` (a
// folder or a GGUF file) into `folder`. A source without a tokenizer gives a folder without one.
absl::Status WriteCompanionFiles(const std::filesystem::path& source, const Json& config,
                                 const std::filesystem::path& folder);

}  // namespace oneai::models
