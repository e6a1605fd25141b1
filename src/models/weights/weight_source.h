// File: models/weights/weight_source.h
//
// The weights of a model, whatever file they lie in. Readers of formats (safetensors with or
// without FP8, GPTQ or AWQ; GGUF) present their tensors under the names and shapes of a Hugging
// Face checkpoint; what binds and packs weights (models/qwen/weights.h, models/runtime) sees only
// this.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/gemm/quantized_matrix.h"
#include "models/safetensors/dtype.h"

namespace oneai::models {

// How a tensor is stored. kDense: floating point as `dtype` says. kQuantized: integer codes with
// scales (GPTQ, AWQ, GGUF block types). kBlockFloat8: FP8 E4M3 with a scale per tile (Qwen3-FP8).
enum class WeightEncoding : uint8_t { kDense, kQuantized, kBlockFloat8 };

// A logical tensor: `model.layers.0.self_attn.q_proj.weight` is one, however many stored tensors
// (qweight, qzeros, scales, g_idx) make it up.
struct WeightInfo {
  std::string name;
  std::vector<int64_t> shape;
  WeightEncoding encoding = WeightEncoding::kDense;
  DType dtype = DType::kF32;  // kDense: as stored
  std::string format;         // for people: "BF16", "Q4_K", "GPTQ int4 g128", "FP8 128x128"
};

// Elements in a form that kernels and LibTorch read, row-major without gaps, aligned to `dtype`.
// `data` points into the mapped file (valid while the source lives), or into `owned` when something
// had to be converted; moving the struct keeps it valid, copying does not.
struct DenseWeight {
  DType dtype = DType::kF32;  // kBF16, kF16 or kF32
  const std::byte* data = nullptr;
  std::vector<float> owned;
};

// Codes with their scales, owned; see kernels/gemm/quantized_matrix.h for the meaning of each.
struct QuantizedWeight {
  std::vector<int8_t> codes;
  std::vector<float> scales, offsets;
  std::vector<int32_t> column_order;
  int64_t n = 0, k = 0, group_size = 0;
  int bits = 8;

  kernels::QuantizedMatrixView view() const {
    return {codes.data(),
            scales.data(),
            offsets.empty() ? nullptr : offsets.data(),
            column_order.empty() ? nullptr : column_order.data(),
            n,
            k,
            group_size,
            bits};
  }
};

// Immutable and thread-safe after it was opened.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  // Folder or file, for messages.
  virtual const std::string& source() const = 0;
  // Every logical tensor, by name. Borrowed.
  virtual absl::Span<const WeightInfo> weights() const = 0;

  // The tensor `name` as floating point; codes and FP8 are decoded to float32. NotFound: no such
  // tensor. InvalidArgument, naming tensor and place: a NaN or infinite scale, a code out of range.
  virtual absl::StatusOr<DenseWeight> Dense(absl::string_view name) const = 0;
  // Rows [first_row, first_row + num_rows) of the matrix `name` (a vector is one row) as Dense
  // gives them, so that a large tensor need not be decoded at once. OutOfRange: no such rows.
  virtual absl::StatusOr<DenseWeight> DenseRows(absl::string_view name, int64_t first_row,
                                                int64_t num_rows) const;
  // The tensor `name` with its codes, without loss. FailedPrecondition: it is not kQuantized.
  // Otherwise as Dense.
  virtual absl::StatusOr<QuantizedWeight> Quantized(absl::string_view name) const = 0;

  // DenseRows as float32.
  absl::StatusOr<std::vector<float>> FloatRows(absl::string_view name, int64_t first_row,
                                               int64_t num_rows) const;
  // nullptr when there is none of that name.
  const WeightInfo* Find(absl::string_view name) const;
};

}  // namespace oneai::models
