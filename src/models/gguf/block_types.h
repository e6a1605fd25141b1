// File: models/gguf/block_types.h
//
// The element types of GGUF tensors that oneai reads. All but the plain ones store a row as blocks
// of 32 or 256 numbers: small codes and the scales to map them back. Source: ggml-common.h and
// ggml.h of ggml (block layouts, type numbers).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace oneai::models {

// Values are the numbers in the file.
enum class BlockType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ4_NL = 20,
  kBF16 = 30
};

struct BlockTraits {
  BlockType type = BlockType::kF32;
  absl::string_view name;  // as llama.cpp spells it: "Q4_K"
  int64_t elements = 1;    // of a block
  int64_t bytes = 4;       // of a block
  // For blocks of codes (zero for plain types): numbers that share a scale, bits of a code in
  // QuantizedWeight, and whether the map has an offset.
  int64_t group = 0;
  int bits = 0;
  bool offsets = false;

  bool quantized() const { return bits > 0; }
};

const BlockTraits& TraitsOf(BlockType type);

// nullopt: a number that is not in the table.
std::optional<BlockType> ParseBlockType(uint32_t number);
// By name, case-insensitive; nullopt when unknown.
std::optional<BlockType> ParseBlockType(absl::string_view name);
// What type number `number` is called in ggml, also where oneai does not read it: "IQ3_XXS".
std::string BlockTypeName(uint32_t number);
// "F32, F16, ...".
std::string KnownBlockTypes();

// Bytes of `num_elements`. InvalidArgument: not whole blocks, or more than fits in int64.
absl::StatusOr<int64_t> BlockBytes(BlockType type, int64_t num_elements);

}  // namespace oneai::models
