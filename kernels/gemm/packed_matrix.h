// A weight matrix in the order in which matrix units read it (packed_layout.h), packed once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/cpu/bfloat16.h"
#include "kernels/gemm/packed_layout.h"
#include "kernels/gemm/quantized_matrix.h"
#include "kernels/gemm/weight_format.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

// A borrowed row-major matrix [n, k] with rows `row_stride` elements apart. `data` needs no
// alignment beyond that of its bytes (a memory-mapped safetensors file will do).
struct MatrixView {
  const void* data = nullptr;
  Dtype dtype = Dtype::kBFloat16;
  int64_t n = 0;
  int64_t k = 0;
  int64_t row_stride = 0;
};

// What the bytes of a packed matrix are: enough to use them again from a file, see packed_file.h.
struct PackedHeader {
  uint32_t layout_version = PackedLayout::kVersion;
  WeightFormat format = WeightFormat::kBFloat16;
  ScaleForm scale_form = ScaleForm::kFloat32;
  OffsetForm offset_form = OffsetForm::kNone;
  int64_t n = 0;
  int64_t k = 0;
  int64_t group_size = 0;         // as in PackedLayout
  uint32_t has_column_order = 0;  // 1: k int32 follow the weights
  int32_t zero_point = 0;         // as in PackedLayout
  friend bool operator==(const PackedHeader&, const PackedHeader&) = default;
};

// Immutable after it was made; movable; safe to read from any thread. Owns its memory (from the
// context's SharedPages, on huge pages where there are any) unless it came from FromMapped().
// Sources may be released after packing.
class PackedMatrix {
 public:
  static constexpr int64_t kPanelOutputs = PackedLayout::kPanelOutputs;
  // Beyond this, a sum of products of 8-bit codes could leave int32. Integer formats only.
  static constexpr int64_t kIntegerDepthMax = 65536;

  PackedMatrix() = default;

  // Packs the parts stacked on top of each other (for example q, k and v projections).
  //   kFloat32, kBFloat16   float32 sources are rounded to bf16 (nearest even) for kBFloat16
  //   kInt8                 symmetric per output: scale = absmax / 127
  //   kInt4                 groups of 64 along k (32 where k is no multiple of 64), scale and
  //   offset
  //                         in float16, chosen by a small search for the least squared error; see
  //                         quantize_weights.h
  // kInvalidArgument: no part, parts of different k, a negative extent, a stride below k; integers:
  // a weight that is no finite number, k above kIntegerDepthMax. kResourceExhausted: memory.
  static absl::StatusOr<PackedMatrix> Pack(absl::Span<const MatrixView> parts, WeightFormat format,
                                           KernelContext& ctx);
  static absl::StatusOr<PackedMatrix> Pack(absl::Span<const MatrixView> parts, Dtype dtype,
                                           KernelContext& ctx) {
    return Pack(parts, FormatOf(dtype), ctx);
  }

  // Packs stacked parts that are quantised already, without changing a code, scale or offset. The
  // format is kInt4 if all parts have 4 bits, else kInt8. Parts may differ in bits and group size:
  // the finer one is taken for all, and scales are repeated. Scales take 2 bytes where float16
  // holds all of them exactly, offsets 1 or 2 where they are zero points or exact in float16.
  // kInvalidArgument: as above; parts with different column orders, a column order that is no
  // permutation, group sizes that do not divide k or each other, or are neither k nor multiples of
  // 16, codes out of range for 4 bits, scales or offsets that are not finite.
  static absl::StatusOr<PackedMatrix> PackQuantized(absl::Span<const QuantizedMatrixView> parts,
                                                    KernelContext& ctx);

  // Describes payload(), for storing both.
  PackedHeader header() const;
  // All bytes: the weights with their scales, then the column order if there is one.
  absl::Span<const std::byte> payload() const { return {data_, static_cast<size_t>(bytes())}; }
  // The number of bytes that payload() of such a matrix has. kInvalidArgument: no such matrix.
  static absl::StatusOr<int64_t> PayloadBytes(const PackedHeader& header);
  // Uses `payload` in place. It must be aligned to 64, outlive the result and not change.
  // kFailedPrecondition: another layout version. kInvalidArgument: a header that describes no
  // matrix, a payload of another size or alignment, a column order that is no permutation.
  // Codes and scales are taken as they are. Cost: none but the check of the column order.
  static absl::StatusOr<PackedMatrix> FromMapped(const PackedHeader& header,
                                                 absl::Span<const std::byte> payload);

  const PackedLayout& layout() const { return layout_; }
  WeightFormat format() const { return layout_.format; }
  int64_t n() const { return layout_.n; }
  int64_t k() const { return layout_.k; }
  int64_t padded_k() const { return layout_.padded_k; }
  int64_t num_panels() const { return layout_.num_panels(); }
  // Memory that the matrix takes and a product reads: codes, scales, offsets, padding, column
  // order.
  int64_t bytes() const {
    return layout_.bytes() + (column_order_ != nullptr ? k() * int64_t{sizeof(int32_t)} : 0);
  }
  // False after FromMapped().
  bool owns_memory() const { return owned_ != nullptr; }
  // First byte of the weights.
  const std::byte* data() const { return data_; }
  // [k] or null: weight column j multiplies input column_order()[j].
  const int32_t* column_order() const { return column_order_; }

  // Widens row `row` (one output's weights, in the order of the inputs) to out[k]. Lets a tied
  // embedding read the packed output head instead of keeping a second copy. Slow per element: rows
  // are strided.
  void CopyRow(int64_t row, float* out) const;

 private:
  // Zeroed memory for `layout`. kResourceExhausted: none.
  static absl::StatusOr<PackedMatrix> Allocate(const PackedLayout& layout, bool has_column_order,
                                               KernelContext& ctx);

  PackedLayout layout_;
  const std::byte* data_ = nullptr;
  const int32_t* column_order_ = nullptr;
  SharedPages::Piece owned_;
};

}  // namespace oneai::kernels
