// File: models/quantize/rounding.h
//
// Rounds matrices to the integer and FP8 forms of Hugging Face checkpoints: to nearest, without
// calibration data. The inverse is models/weights/{packed_integers,tiled_float8}.h.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace oneai::models {

// The stored tensors of a GPTQ weight of n outputs and k inputs, symmetric around the middle code:
//   codes  [k * bits / 32, n]   zeros [k / group, n * bits / 32]   scales [k / group, n] halves
struct GptqTensors {
  std::vector<uint32_t> codes, zeros;
  std::vector<uint16_t> scales;
};

// Room for a weight of n outputs and k inputs, zero points filled in. `bits` is 4 or 8; group_size
// divides k, and 32 / bits divides n and k.
GptqTensors MakeGptqTensors(int64_t n, int64_t k, int bits, int64_t group_size);

// Rounds `values`, outputs [first, ...) of the n in `out`, each of k inputs. Of each group, the
// scale is the one of 24 clippings that gives the least square error, rounded to a half before
// codes are chosen. InvalidArgument: a NaN or infinity, or a number beyond what a half can scale.
// Calls for different outputs may run at once.
absl::Status RoundToGptq(absl::Span<const float> values, int64_t first, int64_t n, int64_t k,
                         int bits, int64_t group_size, GptqTensors& out);

// Rows of a matrix in FP8 E4M3 with a scale per tile of 128 x 128 (partial at the edges): scale =
// largest magnitude / 448, 1 for a tile of zeros. `values` are whole tile rows but for the last.
struct TiledFloat8 {
  std::vector<uint8_t> bytes;
  std::vector<float> scales;  // [ceil(rows / 128), ceil(columns / 128)]
};
inline constexpr int64_t kFloat8Tile = 128;
absl::StatusOr<TiledFloat8> RoundToFloat8(absl::Span<const float> values, int64_t columns);

}  // namespace oneai::models
