#include "models/weights/tiled_float8.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "models/safetensors/small_floats.h"

namespace oneai::models {
namespace {

const std::array<float, 256>& DecodingTable() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values;
    for (int bits = 0; bits < 256; ++bits) values[bits] = Float8E4M3ToFloat(bits);
    return values;
  }();
  return table;
}

int64_t CeilDivide(int64_t a, int64_t b) { return a / b + (a % b != 0); }

absl::Status Bad(const TensorView& weight, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("weight '", weight.name, "': ", message));
}

}  // namespace

absl::Status CheckTiledFloat8(const Quantization& quantization, const TensorView& weight,
                              const TensorView* scales) {
  if (weight.dtype != DType::kF8E4M3 || weight.shape.size() != 2 || weight.data.empty())
    return Bad(weight,
               absl::StrCat("is ", DTypeName(weight.dtype), " [", absl::StrJoin(weight.shape, ", "),
                            "], not F8_E4M3 of two dims"));
  if (scales == nullptr) return Bad(weight, "weight_scale_inv is missing");
  const std::vector<int64_t> expected = {CeilDivide(weight.shape[0], quantization.tile_rows),
                                         CeilDivide(weight.shape[1], quantization.tile_columns)};
  const bool floating =
      scales->dtype == DType::kF32 || scales->dtype == DType::kBF16 || scales->dtype == DType::kF16;
  if (!floating || scales->shape != expected)
    return Bad(weight, absl::StrCat("weight_scale_inv is ", DTypeName(scales->dtype), " [",
                                    absl::StrJoin(scales->shape, ", "), "], not floating [",
                                    absl::StrJoin(expected, ", "), "]"));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> DecodeTiledFloat8(const Quantization& quantization,
                                                     const TensorView& weight,
                                                     const TensorView& scales, int64_t first_row,
                                                     int64_t num_rows) {
  absl::StatusOr<std::vector<float>> tile_scales = ToFloat32(scales);
  if (!tile_scales.ok()) return Bad(weight, tile_scales.status().message());
  const int64_t columns = weight.shape[1], tiles = scales.shape[1];
  const std::array<float, 256>& table = DecodingTable();
  const auto* bytes = reinterpret_cast<const uint8_t*>(weight.data.data()) + first_row * columns;
  std::vector<float> out(num_rows * columns);
  for (int64_t row = 0; row < num_rows; ++row) {
    const int64_t tile_row = (first_row + row) / quantization.tile_rows;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const float scale = (*tile_scales)[tile_row * tiles + tile];
      if (!std::isfinite(scale))
        return Bad(weight, absl::StrCat("weight_scale_inv[", tile_row, "][", tile,
                                        "] is not a finite number"));
      const int64_t begin = tile * quantization.tile_columns;
      const int64_t end = std::min(begin + quantization.tile_columns, columns);
      float sum = 0;  // of magnitudes below 2^9 times a finite scale: not finite if one is not
      for (int64_t j = begin; j < end; ++j) {
        const float value = table[bytes[row * columns + j]] * scale;
        out[row * columns + j] = value;
        sum += value * 0;
      }
      if (sum != 0)
        return Bad(weight, absl::StrCat("row ", first_row + row, ", columns ", begin, " to ",
                                        end - 1, ": an element is not a finite number"));
    }
  }
  return out;
}

}  // namespace oneai::models
