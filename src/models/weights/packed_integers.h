// File: models/weights/packed_integers.h
//
// The integer weights of GPTQ and AWQ files: codes of 4 or 8 bits, several in an int32, with a
// scale and a zero point for every group of inputs of every output,
//
//   w[n][k] = scales[group(k)][n] * (code[n][k] - zero[group(k)][n])
//
// GPTQ packs codes along k and zeros along n, lowest bits first, and may deal the inputs to groups
// in any order (g_idx: "act-order"). AWQ packs both along n in the order 0 2 4 6 1 3 5 7. Sources:
// AutoGPTQ qlinear_cuda_old.py and GPTQModel (pack, dequantize_weight), AutoAWQ
// nn_modules/linear/gemm.py and utils/packing_utils.py.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "models/safetensors/checkpoint.h"
#include "models/weights/quantization.h"
#include "models/weights/weight_source.h"

namespace oneai::models {

// The stored tensors of one weight; `group_index` may be null (groups in order).
struct PackedParts {
  const TensorView* codes = nullptr;        // qweight
  const TensorView* zeros = nullptr;        // qzeros
  const TensorView* scales = nullptr;       // scales
  const TensorView* group_index = nullptr;  // g_idx
};

// Shape [n, k] of the weight. InvalidArgument, naming the part: one that is missing, of a wrong
// dtype, or whose shape does not fit the others.
absl::StatusOr<std::vector<int64_t>> PackedShape(const Quantization& quantization,
                                                 const PackedParts& parts,
                                                 absl::string_view weight);

// Outputs [first, first + count) with their codes without loss: those of 4 bits as they are, those
// of 8 bits less 128 (a signed byte), zero points in the offsets (none where all cancel).
// InvalidArgument, naming weight and place: a scale that is no finite number, a group index out of
// range, groups of unequal size. `parts` must have passed PackedShape.
absl::StatusOr<QuantizedWeight> UnpackIntegers(const Quantization& quantization,
                                               const PackedParts& parts, absl::string_view weight,
                                               int64_t first, int64_t count);

}  // namespace oneai::models
