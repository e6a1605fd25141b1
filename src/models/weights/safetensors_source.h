// File: models/weights/safetensors_source.h
//
// The weights of a Hugging Face folder as logical tensors: plain ones in place, and those of an
// FP8, GPTQ or AWQ release put together from the tensors that carry them.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "models/weights/weight_source.h"

namespace oneai::models {

// Opens `folder`, whose config.json (when there is one) says by `quantization_config` how weights
// are stored. Errors as Checkpoint::Open and ReadQuantization; InvalidArgument, naming the tensor,
// for parts of a quantised tensor that are missing, of a wrong type or of a wrong shape.
absl::StatusOr<std::shared_ptr<const WeightSource>> OpenSafetensorsFolder(
    const std::filesystem::path& folder);

// One .safetensors file of plain tensors.
absl::StatusOr<std::shared_ptr<const WeightSource>> OpenSafetensorsFile(
    const std::filesystem::path& file);

}  // namespace oneai::models
