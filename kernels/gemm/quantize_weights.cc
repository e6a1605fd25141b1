// The search follows the idea of ggml's make_qkx2_quants (fit by least squares between two
// roundings), on plain squared error. Lanes are spelled out so that the compiler vectorises sums
// without being allowed to reorder them.
#include "kernels/gemm/quantize_weights.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/float16.h"

namespace oneai::kernels {
namespace {

constexpr int kGroup = 64;
constexpr int kLanes = 8;
constexpr float kLevels = 15.0f;

// Nearest integer of |x| < 2^22, ties to even: the float adder does it.
inline float RoundToInteger(float x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23
  return (x + kMagic) - kMagic;
}

float Sum(const float (&lanes)[kLanes]) {
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

void Encode(const float (&w)[kGroup], const AffineGrid& grid, float (&codes)[kGroup]) {
  const float inverse = grid.scale > 0 ? 1.0f / grid.scale : 0.0f;
  for (int i = 0; i < kGroup; ++i) {
    const float code = (w[i] - grid.offset) * inverse;
    codes[i] = RoundToInteger(std::min(std::max(code, 0.0f), kLevels));
  }
}

float SquaredError(const float (&w)[kGroup], const AffineGrid& grid, const float (&codes)[kGroup]) {
  float lanes[kLanes] = {};
  for (int i = 0; i < kGroup; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float error = w[i + l] - (grid.scale * codes[i + l] + grid.offset);
      lanes[l] += error * error;
    }
  }
  return Sum(lanes);
}

// The grid with the least squared error for given codes.
AffineGrid Fit(const float (&w)[kGroup], const float (&codes)[kGroup], const AffineGrid& fallback) {
  float w_sum[kLanes] = {}, c_sum[kLanes] = {}, cc_sum[kLanes] = {}, cw_sum[kLanes] = {};
  for (int i = 0; i < kGroup; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      w_sum[l] += w[i + l];
      c_sum[l] += codes[i + l];
      cc_sum[l] += codes[i + l] * codes[i + l];
      cw_sum[l] += codes[i + l] * w[i + l];
    }
  }
  const float mean_w = Sum(w_sum) / kGroup, mean_c = Sum(c_sum) / kGroup;
  const float variance = Sum(cc_sum) / kGroup - mean_c * mean_c;
  const float covariance = Sum(cw_sum) / kGroup - mean_c * mean_w;
  if (!(variance > 0) || !(covariance > 0)) return fallback;
  const float scale = covariance / variance;
  return {scale, mean_w - scale * mean_c};
}

AffineGrid Rounded(const AffineGrid& grid, bool half) {
  if (!half) return grid;
  return {HalfToFloat(FloatToHalf(grid.scale)), HalfToFloat(FloatToHalf(grid.offset))};
}

}  // namespace

float QuantizeInt8(const float* w, int64_t count, int8_t* codes) {
  float absmax = 0;
  for (int64_t i = 0; i < count; ++i) absmax = std::max(absmax, std::abs(w[i]));
  const float scale = absmax / 127.0f;
  const float inverse = 127.0f / absmax;
  if (!(scale > 0) || !std::isfinite(inverse)) {
    std::fill(codes, codes + count, int8_t{0});
    return 0.0f;
  }
  for (int64_t i = 0; i < count; ++i) {
    codes[i] = static_cast<int8_t>(static_cast<int>(RoundToInteger(w[i] * inverse)));
  }
  return scale;
}

AffineGrid QuantizeInt4(const float* w, int64_t count, bool half, int8_t* codes) {
  // A short group repeats its last weight, which hardly moves the optimum and keeps loops whole.
  float group[kGroup], candidate[kGroup], best_codes[kGroup];
  for (int i = 0; i < kGroup; ++i) group[i] = w[std::min<int64_t>(i, count - 1)];
  const auto [low, high] = std::minmax_element(group, group + kGroup);
  const float middle = 0.5f * *low + 0.5f * *high;
  const float step = (*high - *low) / kLevels;

  AffineGrid best = Rounded({0.0f, middle}, half);
  std::fill(best_codes, best_codes + kGroup, 0.0f);
  float best_error = SquaredError(group, best, best_codes);
  const auto consider = [&](const AffineGrid& grid) {
    Encode(group, grid, candidate);
    const float error = SquaredError(group, grid, candidate);
    if (!(error < best_error)) return;
    best = grid;
    best_error = error;
    std::copy(candidate, candidate + kGroup, best_codes);
  };
  for (const float share : {1.0f, 0.95f, 0.9f, 0.85f, 0.8f, 0.75f}) {
    const float scale = step * share;
    const AffineGrid range{scale, middle - 0.5f * kLevels * scale};
    Encode(group, range, candidate);
    const AffineGrid fitted = Fit(group, candidate, range);
    consider(Rounded(range, half));
    consider(Rounded(fitted, half));
  }
  for (int64_t i = 0; i < count; ++i) codes[i] = static_cast<int8_t>(best_codes[i]);
  return best;
}

}  // namespace oneai::kernels
