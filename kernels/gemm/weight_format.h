// How weights are kept in memory.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "kernels/cpu/bfloat16.h"

namespace oneai::kernels {

// kInt8 and kInt4 are affine codes with a scale, and for some an offset, per output or per group of
// inputs; see quantized_matrix.h. With them activations are quantised, too.
enum class WeightFormat : uint32_t { kFloat32 = 0, kBFloat16 = 1, kInt8 = 2, kInt4 = 3 };

constexpr bool IsInteger(WeightFormat format) {
  return format == WeightFormat::kInt8 || format == WeightFormat::kInt4;
}

// Bits of one weight or code, scales not counted.
constexpr int64_t FormatBits(WeightFormat format) {
  switch (format) {
    case WeightFormat::kFloat32:
      return 32;
    case WeightFormat::kBFloat16:
      return 16;
    case WeightFormat::kInt8:
      return 8;
    case WeightFormat::kInt4:
      return 4;
  }
  return 0;
}

// "float32", "bf16", "int8", "int4".
constexpr absl::string_view FormatName(WeightFormat format) {
  switch (format) {
    case WeightFormat::kFloat32:
      return "float32";
    case WeightFormat::kBFloat16:
      return "bf16";
    case WeightFormat::kInt8:
      return "int8";
    case WeightFormat::kInt4:
      return "int4";
  }
  return "";
}

constexpr WeightFormat FormatOf(Dtype dtype) {
  return dtype == Dtype::kFloat32 ? WeightFormat::kFloat32 : WeightFormat::kBFloat16;
}

}  // namespace oneai::kernels
