#include "models/safetensors/dtype.h"

#include <array>

namespace oneai::models {
namespace {

struct Row {
  DType dtype;
  absl::string_view name;
  int64_t bytes;
};

// In the order of the enum.
constexpr std::array<Row, 12> kTable = {{{DType::kF64, "F64", 8},
                                         {DType::kF32, "F32", 4},
                                         {DType::kF16, "F16", 2},
                                         {DType::kBF16, "BF16", 2},
                                         {DType::kI64, "I64", 8},
                                         {DType::kI32, "I32", 4},
                                         {DType::kI16, "I16", 2},
                                         {DType::kI8, "I8", 1},
                                         {DType::kU8, "U8", 1},
                                         {DType::kBool, "BOOL", 1},
                                         {DType::kF8E4M3, "F8_E4M3", 1},
                                         {DType::kF8E5M2, "F8_E5M2", 1}}};

}  // namespace

int64_t DTypeBytes(DType dtype) { return kTable[static_cast<size_t>(dtype)].bytes; }

absl::string_view DTypeName(DType dtype) { return kTable[static_cast<size_t>(dtype)].name; }

std::optional<DType> ParseDType(absl::string_view name) {
  for (const Row& row : kTable)
    if (row.name == name) return row.dtype;
  return std::nullopt;
}

}  // namespace oneai::models
