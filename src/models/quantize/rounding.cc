#include "models/quantize/rounding.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/safetensors/small_floats.h"

namespace oneai::models {
namespace {

constexpr int kClippings = 24;  // candidates for the scale of a group
constexpr float kClippingStep = 0.015f;

inline float Nearest(float x) { return (x + 12582912.f) - 12582912.f; }

absl::Status CheckFinite(absl::Span<const float> values, int64_t columns, float largest) {
  for (size_t i = 0; i < values.size(); ++i)
    if (!(std::fabs(values[i]) <= largest))
      return absl::InvalidArgumentError(absl::StrCat("element [", i / columns, "][", i % columns,
                                                     "] is ", values[i],
                                                     ", which cannot be quantised"));
  return absl::OkStatus();
}

// Square error of rounding `x` to multiples low..high of `scale`.
float ErrorOf(absl::Span<const float> x, float scale, float low, float high) {
  const float inverse = 1 / scale;
  float error = 0;
  for (const float value : x) {
    const float code = Nearest(std::min(std::max(value * inverse, low), high));
    const float difference = code * scale - value;
    error += difference * difference;
  }
  return error;
}

// The scale for codes low..high, as a half; 1 for zeros.
float BestScale(absl::Span<const float> x, float low, float high) {
  float largest = 0;
  for (const float value : x) largest = std::max(largest, std::fabs(value));
  // Below the least normal half the codes would lose bits of the scale; such groups are as good as
  // 0.
  const float full = largest / (high + 0.5f);
  if (HalfToFloat(FloatToHalf(full)) == 0) return 1;
  float best_scale = 0, best_error = INFINITY;
  for (int step = 0; step < kClippings; ++step) {
    const float clipping = 1 - kClippingStep * static_cast<float>(step);
    const float scale = HalfToFloat(FloatToHalf(full * clipping));
    if (scale == 0) break;
    const float error = ErrorOf(x, scale, low, high);
    if (error < best_error) {
      best_error = error;
      best_scale = scale;
    }
  }
  return best_scale;
}

}  // namespace

GptqTensors MakeGptqTensors(int64_t n, int64_t k, int bits, int64_t group_size) {
  const int64_t per_word = 32 / bits, num_groups = k / group_size;
  GptqTensors out;
  out.codes.assign(k / per_word * n, 0);
  out.scales.resize(num_groups * n);
  // Files of this format hold the zero point less one.
  const uint32_t stored_zero = (1u << (bits - 1)) - 1;
  uint32_t word = 0;
  for (int64_t lane = 0; lane < per_word; ++lane) word |= stored_zero << (lane * bits);
  out.zeros.assign(num_groups * (n / per_word), word);
  return out;
}

absl::Status RoundToGptq(absl::Span<const float> values, int64_t first, int64_t n, int64_t k,
                         int bits, int64_t group_size, GptqTensors& out) {
  const int64_t per_word = 32 / bits, rows = static_cast<int64_t>(values.size()) / k;
  const int middle = 1 << (bits - 1);
  const float low = static_cast<float>(-middle), high = static_cast<float>(middle - 1);
  RETURN_IF_ERROR(CheckFinite(values, k, 65504.f * high));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t group = 0; group < k / group_size; ++group) {
      const absl::Span<const float> x = values.subspan(row * k + group * group_size, group_size);
      const float scale = BestScale(x, low, high), inverse = 1 / scale;
      out.scales[group * n + first + row] = FloatToHalf(scale);
      for (int64_t i = 0; i < group_size; ++i) {
        const float code = Nearest(std::min(std::max(x[i] * inverse, low), high));
        const int64_t column = group * group_size + i;
        out.codes[column / per_word * n + first + row] |=
            static_cast<uint32_t>(static_cast<int>(code) + middle) << (column % per_word * bits);
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<TiledFloat8> RoundToFloat8(absl::Span<const float> values, int64_t columns) {
  RETURN_IF_ERROR(CheckFinite(values, columns, std::numeric_limits<float>::max()));
  const int64_t rows = static_cast<int64_t>(values.size()) / columns;
  TiledFloat8 out;
  out.bytes.resize(values.size());
  for (int64_t row_begin = 0; row_begin < rows; row_begin += kFloat8Tile) {
    const int64_t row_end = std::min(row_begin + kFloat8Tile, rows);
    for (int64_t begin = 0; begin < columns; begin += kFloat8Tile) {
      const int64_t end = std::min(begin + kFloat8Tile, columns);
      float largest = 0;
      for (int64_t i = row_begin; i < row_end; ++i)
        for (int64_t j = begin; j < end; ++j)
          largest = std::max(largest, std::fabs(values[i * columns + j]));
      const float scale = largest > 0x1p-100f ? largest / 448 : 1;
      out.scales.push_back(scale);
      for (int64_t i = row_begin; i < row_end; ++i)
        for (int64_t j = begin; j < end; ++j)
          out.bytes[i * columns + j] = FloatToFloat8E4M3(values[i * columns + j] / scale);
    }
  }
  return out;
}

}  // namespace oneai::models
