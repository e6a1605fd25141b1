// File: models/safetensors/dtype.h
//
// Element types of stored tensors, under the names that the safetensors format gives them.
// Source: safetensors format description (huggingface/safetensors README, "Format").
#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace oneai::models {

enum class DType : uint8_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kI64,
  kI32,
  kI16,
  kI8,
  kU8,
  kBool,
  kF8E4M3,  // 4 exponent and 3 fraction bits, no infinities ("fn"); arXiv:2209.05433
  kF8E5M2
};

// Bytes of one element.
int64_t DTypeBytes(DType dtype);
// "F64", "BF16", ... as in a safetensors header.
absl::string_view DTypeName(DType dtype);
// The inverse; nullopt for a name that is not in the table.
std::optional<DType> ParseDType(absl::string_view name);

}  // namespace oneai::models
