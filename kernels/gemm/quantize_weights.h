// Rounding of dense weights to integer codes, when a model is loaded.
#pragma once

#include <cstdint>

namespace oneai::kernels {

// The grid of one group: w ~ scale * code + offset.
struct AffineGrid {
  float scale = 0.0f;
  float offset = 0.0f;
};

// Weights per group that PackedMatrix::Pack() chooses for kInt4 at depth `k`.
constexpr int64_t Int4GroupSize(int64_t k) { return k % 64 == 0 ? 64 : 32; }

// Rounds `count` weights to codes in [-127, 127] and returns scale = absmax / 127; all codes are 0
// if the scale underflows. Weights must be finite.
float QuantizeInt8(const float* w, int64_t count, int8_t* codes);

// Rounds a group of at most 64 weights to codes in [0, 15]. Of a few ranges, from that of all
// weights to 75 % of it, each followed by the least-squares fit of scale and offset to its codes,
// it takes the grid with the least squared error. Scale and offset are exact in float16 if `half`
// is true. Weights must be finite and, with `half`, below 2^14 in magnitude.
AffineGrid QuantizeInt4(const float* w, int64_t count, bool half, int8_t* codes);

}  // namespace oneai::kernels
