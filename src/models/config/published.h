// File: models/config/published.h
//
// Shapes of published models by name, so that a checkpoint of any of them can be made with random
// weights for benchmarks. Source: the config.json of each release on Hugging Face.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/config/model_config.h"

namespace oneai::models {

// Names of the table, "qwen3-0.6b" for example, in its order.
std::vector<std::string> PublishedModelNames();

// The configuration of published model `name` (upper or lower case), valid and with bfloat16
// weights. Sizes, heads, biases, norms, experts and rotary base are those of the release;
// special tokens are left out, because they belong to its tokenizer. NotFound lists the names.
absl::StatusOr<ModelConfig> PublishedConfig(absl::string_view name);

}  // namespace oneai::models
