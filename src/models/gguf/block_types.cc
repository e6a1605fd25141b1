#include "models/gguf/block_types.h"

#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace oneai::models {
namespace {

// Q4_K: 4-bit codes, eight groups with 6-bit scales and offsets; Q6_K: sixteen groups with 8-bit
// scales. Types of 5 and 6 bits and IQ4_NL's table are widened to 8-bit codes.
constexpr std::array<BlockTraits, 12> kTable = {{
    {BlockType::kF32, "F32", 1, 4, 0, 0, false},
    {BlockType::kF16, "F16", 1, 2, 0, 0, false},
    {BlockType::kQ4_0, "Q4_0", 32, 18, 32, 4, true},
    {BlockType::kQ4_1, "Q4_1", 32, 20, 32, 4, true},
    {BlockType::kQ5_0, "Q5_0", 32, 22, 32, 8, false},
    {BlockType::kQ5_1, "Q5_1", 32, 24, 32, 8, true},
    {BlockType::kQ8_0, "Q8_0", 32, 34, 32, 8, false},
    {BlockType::kQ4_K, "Q4_K", 256, 144, 32, 4, true},
    {BlockType::kQ5_K, "Q5_K", 256, 176, 32, 8, true},
    {BlockType::kQ6_K, "Q6_K", 256, 210, 16, 8, false},
    {BlockType::kIQ4_NL, "IQ4_NL", 32, 18, 32, 8, false},
    {BlockType::kBF16, "BF16", 1, 2, 0, 0, false},
}};

// Names of type numbers as in ggml.h; empty where none is assigned any more.
constexpr std::array<absl::string_view, 43> kNames = {
    "F32",     "F16",   "Q4_0",   "Q4_1",  "",      "",       "Q5_0", "Q5_1",    "Q8_0",
    "Q8_1",    "Q2_K",  "Q3_K",   "Q4_K",  "Q5_K",  "Q6_K",   "Q8_K", "IQ2_XXS", "IQ2_XS",
    "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8",   "I16",     "I32",
    "I64",     "F64",   "IQ1_M",  "BF16",  "",      "",       "",     "TQ1_0",   "TQ2_0",
    "",        "",      "",       "MXFP4", "NVFP4", "Q1_0",   "Q2_0"};

}  // namespace

const BlockTraits& TraitsOf(BlockType type) {
  for (const BlockTraits& traits : kTable)
    if (traits.type == type) return traits;
  return kTable[0];
}

std::optional<BlockType> ParseBlockType(uint32_t number) {
  for (const BlockTraits& traits : kTable)
    if (static_cast<uint32_t>(traits.type) == number) return traits.type;
  return std::nullopt;
}

std::optional<BlockType> ParseBlockType(absl::string_view name) {
  for (const BlockTraits& traits : kTable)
    if (absl::EqualsIgnoreCase(traits.name, name)) return traits.type;
  return std::nullopt;
}

std::string BlockTypeName(uint32_t number) {
  if (number < kNames.size() && !kNames[number].empty()) return std::string(kNames[number]);
  return absl::StrCat("number ", number);
}

std::string KnownBlockTypes() {
  std::string names;
  for (const BlockTraits& traits : kTable)
    absl::StrAppend(&names, names.empty() ? "" : ", ", traits.name);
  return names;
}

absl::StatusOr<int64_t> BlockBytes(BlockType type, int64_t num_elements) {
  const BlockTraits& traits = TraitsOf(type);
  if (num_elements < 0 || num_elements % traits.elements != 0)
    return absl::InvalidArgumentError(absl::StrCat(num_elements,
                                                   " elements are no whole blocks of ",
                                                   traits.elements, " (", traits.name, ")"));
  int64_t bytes = 0;
  if (__builtin_mul_overflow(num_elements / traits.elements, traits.bytes, &bytes))
    return absl::InvalidArgumentError("its size overflows 64 bits");
  return bytes;
}

}  // namespace oneai::models
