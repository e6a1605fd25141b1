// File: models/gguf/gguf_source.h
//
// A GGUF file as a WeightSource: tensors under their Hugging Face names and in that order, as
// gguf_layout.h describes. One that is put together from several stored ones of different types has
// codes of the finest groups and the most bits among them, without loss.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "models/gguf/gguf_file.h"
#include "models/weights/weight_source.h"

namespace oneai::models {

// Unimplemented: an architecture that is not read. InvalidArgument, naming the tensor: one that
// belongs to no part of the architecture, has more dims than its part, or is missing beside another
// part of the same tensor.
absl::StatusOr<std::shared_ptr<const WeightSource>> OpenGgufSource(
    std::shared_ptr<const GgufFile> file);

}  // namespace oneai::models
