// File: models/weights/tiled_float8.h
//
// FP8 weights with a scale for every tile, as in Qwen3-FP8:
//   w[i][j] = e4m3(weight[i][j]) * weight_scale_inv[i / tile_rows][j / tile_columns]
// Source: transformers, integrations/finegrained_fp8.py; arXiv:2412.19437, section 3.3.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "models/safetensors/checkpoint.h"
#include "models/weights/quantization.h"

namespace oneai::models {

// InvalidArgument, naming weight and part, unless `weight` is an F8_E4M3 matrix and `scales` (null:
// missing) a floating-point one of a scale per tile, partial tiles at the edges included.
absl::Status CheckTiledFloat8(const Quantization& quantization, const TensorView& weight,
                              const TensorView* scales);

// Rows [first_row, first_row + num_rows), decoded. InvalidArgument, naming weight and place: a
// scale or a weight that is NaN or infinite. The tensors must have passed CheckTiledFloat8.
absl::StatusOr<std::vector<float>> DecodeTiledFloat8(const Quantization& quantization,
                                                     const TensorView& weight,
                                                     const TensorView& scales, int64_t first_row,
                                                     int64_t num_rows);

}  // namespace oneai::models
