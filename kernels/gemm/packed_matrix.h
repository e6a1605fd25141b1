// A weight matrix in the order in which matrix units read it.
//
// One layout serves every variant, so a matrix is packed once and knows no instruction set. The N
// outputs are cut into panels of 16. Within a panel, memory goes over k first:
//
//   bf16     for each pair (k, k+1):  w[n0][k] w[n0][k+1] w[n0+1][k] w[n0+1][k+1] ... w[n0+15][k+1]
//   float32  for each k:              w[n0][k] w[n0+1][k] ... w[n0+15][k]
//
// So 64 bytes are one AVX-512 register or one row of an AMX tile ("VNNI" order), 16 of them are a
// whole B tile, and a panel is one contiguous stream. K is padded to a multiple of 32 and N to a
// multiple of 16 with zeros; panels start on 64-byte boundaries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/cpu/bfloat16.h"
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

// Immutable after Pack(); movable; safe to read from any thread. Owns its memory (huge pages are
// requested from 4 MiB on). The source may be released after Pack().
class PackedMatrix {
 public:
  static constexpr int64_t kPanelOutputs = 16;
  static constexpr int64_t kDepthMultiple = 32;

  PackedMatrix() = default;

  // Packs the parts stacked on top of each other (for example q, k and v projections) as `dtype`.
  // float32 sources are rounded to bf16 (nearest even) when dtype is bf16.
  // kInvalidArgument: no part, parts of different k, a negative extent, or a stride below k.
  // kResourceExhausted: memory.
  static absl::StatusOr<PackedMatrix> Pack(absl::Span<const MatrixView> parts, Dtype dtype,
                                           KernelContext& ctx);

  Dtype dtype() const { return dtype_; }
  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  int64_t padded_k() const { return padded_k_; }
  int64_t num_panels() const { return (n_ + kPanelOutputs - 1) / kPanelOutputs; }
  int64_t panel_bytes() const { return padded_k_ * kPanelOutputs * DtypeBytes(dtype_); }
  int64_t bytes() const { return num_panels() * panel_bytes(); }
  const std::byte* panel(int64_t index) const { return data_.get() + index * panel_bytes(); }

  // Widens row `row` (one output's weights) to out[k]. Lets a tied embedding read the packed output
  // head instead of keeping a second copy. Slow per element: rows are strided.
  void CopyRow(int64_t row, float* out) const;

 private:
  struct Unmap {
    size_t bytes;
    void operator()(std::byte* p) const;
  };
  Dtype dtype_ = Dtype::kBFloat16;
  int64_t n_ = 0;
  int64_t k_ = 0;
  int64_t padded_k_ = 0;
  std::unique_ptr<std::byte[], Unmap> data_;
};

}  // namespace oneai::kernels
