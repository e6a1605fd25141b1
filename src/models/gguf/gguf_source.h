// File: models/gguf/gguf_source.h
//
// A GGUF file as a WeightSource: tensors under their Hugging Face names, stacks of experts taken
// apart, llama's rows back in order.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "models/gguf/gguf_file.h"
#include "models/weights/weight_source.h"

namespace oneai::models {

// Unimplemented: an architecture that is not read. InvalidArgument, naming the tensor: one that
// belongs to no part of the architecture, or has more dims than its part.
absl::StatusOr<std::shared_ptr<const WeightSource>> OpenGgufSource(
    std::shared_ptr<const GgufFile> file);

}  // namespace oneai::models
