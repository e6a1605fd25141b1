// File: models/weights/open_weights.h
//
// The weights of a model, wherever they lie.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "models/weights/weight_source.h"

namespace oneai::models {

// Opens a Hugging Face folder (safetensors, sharded or not, plain or quantised), a folder whose
// only weights are one .gguf file, a .gguf file or a .safetensors file. Files are mapped: this
// reads headers only. NotFound: nothing there. InvalidArgument, naming file and tensor: corrupt.
// Unimplemented: a quantisation or block type that is not read, naming it and those that are.
absl::StatusOr<std::shared_ptr<const WeightSource>> OpenWeights(const std::filesystem::path& path);

// The .gguf file that `path` means: itself, or the only one in a folder without safetensors; an
// empty path when `path` is something else. NotFound: nothing there. InvalidArgument: several.
absl::StatusOr<std::filesystem::path> FindGguf(const std::filesystem::path& path);

}  // namespace oneai::models
