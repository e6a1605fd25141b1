#include "kernels/gemm/packed_matrix.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/gemm/pack_rows.h"
#include "kernels/gemm/quantize_weights.h"

namespace oneai::kernels {
namespace {

// Far above any model, far below what could overflow an address computation.
constexpr int64_t kExtentMax = int64_t{1} << 31;

// Element `index` of a source row; memcpy because mapped files promise no alignment.
float ReadElement(const std::byte* row, Dtype dtype, int64_t index) {
  if (dtype == Dtype::kBFloat16) {
    BFloat16 x;
    std::memcpy(&x, row + index * 2, 2);
    return ToFloat(x);
  }
  float x;
  std::memcpy(&x, row + index * 4, 4);
  return x;
}

absl::Status CheckParts(absl::Span<const MatrixView> parts, WeightFormat format) {
  if (parts.empty()) return absl::InvalidArgumentError("pack: no matrix given");
  for (const MatrixView& part : parts) {
    if (part.n < 0 || part.k <= 0 || part.row_stride < part.k) {
      return absl::InvalidArgumentError(
          absl::StrCat("pack: a matrix of ", part.n, " x ", part.k, " with rows ", part.row_stride,
                       " elements apart is not a matrix; rows must not overlap"));
    }
    if (part.k != parts.front().k) {
      return absl::InvalidArgumentError(absl::StrCat("pack: stacked matrices need one depth, got ",
                                                     parts.front().k, " and ", part.k));
    }
  }
  if (IsInteger(format) && parts.front().k > PackedMatrix::kIntegerDepthMax) {
    return absl::InvalidArgumentError(absl::StrCat("pack: depth ", parts.front().k,
                                                   " is above the ", PackedMatrix::kIntegerDepthMax,
                                                   " that 32-bit sums of 8-bit products allow"));
  }
  return absl::OkStatus();
}

// Rows of dense weights to one format. Widened rows and codes live in per-thread vectors.
class RowPacker {
 public:
  RowPacker(const PackedLayout& layout, std::byte* data)
      : layout_(layout), data_(data), wide_(layout.k) {}

  // False: a weight that no integer format can hold.
  bool Pack(const std::byte* row, Dtype dtype, int64_t n) {
    if (layout_.format == WeightFormat::kBFloat16) {
      narrow_.resize(layout_.k);
      if (dtype == Dtype::kBFloat16) {
        std::memcpy(narrow_.data(), row, layout_.k * sizeof(BFloat16));
      } else {
        for (int64_t i = 0; i < layout_.k; ++i) {
          narrow_[i] = ToBFloat16(ReadElement(row, dtype, i));
        }
      }
      PackRowBf16(layout_, n, narrow_.data(), data_);
      return true;
    }
    for (int64_t i = 0; i < layout_.k; ++i) wide_[i] = ReadElement(row, dtype, i);
    if (layout_.format == WeightFormat::kFloat32) {
      PackRowF32(layout_, n, wide_.data(), data_);
      return true;
    }
    for (const float w : wide_) {
      if (!std::isfinite(w)) return false;
    }
    Quantize();
    PackRowCodes(layout_, n, codes_.data(), scales_.data(), offsets_.data(), data_);
    return true;
  }

 private:
  void Quantize() {
    codes_.resize(layout_.k);
    scales_.resize(layout_.num_groups());
    offsets_.resize(layout_.num_groups());
    if (layout_.format == WeightFormat::kInt8) {
      scales_[0] = QuantizeInt8(wide_.data(), layout_.k, codes_.data());
      return;
    }
    const bool half = layout_.scale_form == ScaleForm::kFloat16;
    for (int64_t k = 0, group = 0; k < layout_.k; k += layout_.group_size, ++group) {
      const int64_t count = std::min(layout_.group_size, layout_.k - k);
      const AffineGrid grid = QuantizeInt4(&wide_[k], count, half, &codes_[k]);
      scales_[group] = grid.scale;
      offsets_[group] = grid.offset;
    }
  }

  const PackedLayout& layout_;
  std::byte* const data_;
  std::vector<float> wide_;
  std::vector<BFloat16> narrow_;
  std::vector<int8_t> codes_;
  std::vector<float> scales_, offsets_;
};

// float16 holds scales and offsets of ordinary weights well; very small or large ones keep float32.
bool HalfSuffices(absl::Span<const MatrixView> parts, KernelContext& ctx) {
  float absmax = 0;
  std::vector<float> of_worker(ctx.threads().num_threads(), 0.0f);
  for (const MatrixView& part : parts) {
    const auto* source = static_cast<const std::byte*>(part.data);
    ctx.threads().ParallelFor(part.n, [&](int64_t begin, int64_t end, int worker) {
      float local = 0;
      for (int64_t i = begin; i < end; ++i) {
        const std::byte* row = source + i * part.row_stride * DtypeBytes(part.dtype);
        for (int64_t k = 0; k < part.k; ++k) {
          local = std::max(local, std::abs(ReadElement(row, part.dtype, k)));
        }
      }
      of_worker[worker] = std::max(of_worker[worker], local);
    });
  }
  for (const float local : of_worker) absmax = std::max(absmax, local);
  return absmax >= 0x1p-8f && absmax < 0x1p14f;
}

bool IsPermutation(const int32_t* order, int64_t k) {
  std::vector<bool> seen(k, false);
  for (int64_t i = 0; i < k; ++i) {
    if (order[i] < 0 || order[i] >= k || seen[order[i]]) return false;
    seen[order[i]] = true;
  }
  return true;
}

bool ValidGroupSize(int64_t group_size, int64_t k) {
  return group_size == k || (group_size > 0 && group_size % 16 == 0 && group_size <= (1 << 16));
}

}  // namespace

absl::StatusOr<PackedMatrix> PackedMatrix::Allocate(const PackedLayout& layout,
                                                    bool has_column_order, KernelContext& ctx) {
  PackedMatrix packed;
  packed.layout_ = layout;
  if (layout.n == 0) return packed;
  // Zeros, which is the padding.
  const size_t bytes = layout.bytes() + (has_column_order ? layout.k * sizeof(int32_t) : 0);
  packed.owned_ = ctx.pages().Allocate(bytes);
  if (packed.owned_ == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("pack: no memory for ", bytes, " bytes of weights"));
  }
  packed.data_ = packed.owned_.get();
  if (has_column_order) {
    packed.column_order_ = reinterpret_cast<const int32_t*>(packed.data_ + layout.bytes());
  }
  return packed;
}

absl::StatusOr<PackedMatrix> PackedMatrix::Pack(absl::Span<const MatrixView> parts,
                                                WeightFormat format, KernelContext& ctx) {
  RETURN_IF_ERROR(CheckParts(parts, format));
  const int64_t k = parts.front().k;
  int64_t n = 0;
  for (const MatrixView& part : parts) n += part.n;
  PackedLayout layout =
      PackedLayout::Make(format, n, k, format == WeightFormat::kInt4 ? Int4GroupSize(k) : k);
  if (format == WeightFormat::kInt4) {
    const bool half = HalfSuffices(parts, ctx);
    layout.scale_form = half ? ScaleForm::kFloat16 : ScaleForm::kFloat32;
    layout.offset_form = half ? OffsetForm::kFloat16 : OffsetForm::kFloat32;
  }
  ASSIGN_OR_RETURN(PackedMatrix packed, Allocate(layout, false, ctx));
  std::byte* const data = packed.owned_.get();
  std::atomic<int64_t> bad_row{-1};
  int64_t first_row = 0;
  for (const MatrixView& part : parts) {
    const auto* source = static_cast<const std::byte*>(part.data);
    ctx.threads().ParallelFor(part.n, [&](int64_t begin, int64_t end, int) {
      RowPacker packer(packed.layout_, data);
      for (int64_t i = begin; i < end; ++i) {
        const std::byte* row = source + i * part.row_stride * DtypeBytes(part.dtype);
        if (!packer.Pack(row, part.dtype, first_row + i)) bad_row.store(first_row + i);
      }
    });
    first_row += part.n;
  }
  if (bad_row.load() >= 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "pack: output ", bad_row.load(), " has a weight that is no finite number and so no ",
        FormatName(format), " code; load these weights as bf16"));
  }
  return packed;
}

PackedHeader PackedMatrix::header() const {
  return {.layout_version = PackedLayout::kVersion,
          .format = layout_.format,
          .scale_form = layout_.scale_form,
          .offset_form = layout_.offset_form,
          .n = layout_.n,
          .k = layout_.k,
          .group_size = layout_.group_size == layout_.padded_k ? layout_.k : layout_.group_size,
          .has_column_order = column_order_ != nullptr ? 1u : 0u,
          .zero_point = static_cast<int32_t>(layout_.zero_point)};
}

namespace {

absl::StatusOr<PackedLayout> LayoutOf(const PackedHeader& header) {
  if (header.layout_version != PackedLayout::kVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("packed matrix has layout version ", header.layout_version,
                     ", this build has ", PackedLayout::kVersion, ": pack the weights again"));
  }
  const bool integer = IsInteger(header.format);
  if (header.format > WeightFormat::kInt4 || header.scale_form > ScaleForm::kFloat16 ||
      header.offset_form > OffsetForm::kFloat32 || header.has_column_order > 1 ||
      header.zero_point < -128 || header.zero_point > 127 || header.n < 0 ||
      header.n > kExtentMax || header.k <= 0 || header.k > kExtentMax ||
      (integer && header.k > PackedMatrix::kIntegerDepthMax) ||
      (integer ? !ValidGroupSize(header.group_size, header.k)
               : header.group_size != header.k || header.has_column_order != 0 ||
                     header.scale_form != ScaleForm::kFloat32 ||
                     header.offset_form != OffsetForm::kNone)) {
    return absl::InvalidArgumentError("packed matrix has a header that describes no matrix");
  }
  PackedLayout layout = PackedLayout::Make(header.format, header.n, header.k, header.group_size);
  layout.scale_form = header.scale_form;
  layout.offset_form = header.offset_form;
  layout.zero_point = header.zero_point;
  return layout;
}

}  // namespace

absl::StatusOr<int64_t> PackedMatrix::PayloadBytes(const PackedHeader& header) {
  ASSIGN_OR_RETURN(const PackedLayout layout, LayoutOf(header));
  if (layout.n == 0) return 0;
  // Compared in float64 first: the extents are bounded, their product is not.
  const double estimate = static_cast<double>(layout.n + 64) * static_cast<double>(layout.padded_k);
  if (estimate > 0x1p50) {
    return absl::InvalidArgumentError("packed matrix has a header that describes no matrix");
  }
  return layout.bytes() + (header.has_column_order != 0 ? layout.k * int64_t{sizeof(int32_t)} : 0);
}

absl::StatusOr<PackedMatrix> PackedMatrix::FromMapped(const PackedHeader& header,
                                                      absl::Span<const std::byte> payload) {
  ASSIGN_OR_RETURN(const int64_t bytes, PayloadBytes(header));
  if (static_cast<int64_t>(payload.size()) != bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("packed matrix needs ", bytes, " bytes and has ", payload.size()));
  }
  PackedMatrix packed;
  ASSIGN_OR_RETURN(packed.layout_, LayoutOf(header));
  if (bytes == 0) return packed;
  if (reinterpret_cast<uintptr_t>(payload.data()) % 64 != 0) {
    return absl::InvalidArgumentError("packed matrix lies at an address that is not aligned to 64");
  }
  packed.data_ = payload.data();
  if (header.has_column_order != 0) {
    packed.column_order_ = reinterpret_cast<const int32_t*>(packed.data_ + packed.layout_.bytes());
    if (!IsPermutation(packed.column_order_, packed.k())) {
      return absl::InvalidArgumentError("packed matrix has a column order that is no permutation");
    }
  }
  return packed;
}

void PackedMatrix::CopyRow(int64_t row, float* out) const {
  const int64_t panel = row / kPanelOutputs, lane = row % kPanelOutputs;
  if (IsInteger(format())) {
    for (int64_t k = 0; k < layout_.k; ++k) {
      const StoredWeight w = ReadStored(layout_, data_, row, k);
      const float value = static_cast<float>(double{w.scale} * w.code + double{w.offset});
      out[column_order_ != nullptr ? column_order_[k] : k] = value;
    }
    return;
  }
  for (int64_t k = 0; k < layout_.k; ++k) {
    const std::byte* tile = data_ + layout_.TileBegin(panel, 0, k / layout_.tile_k);
    const int64_t i = k % layout_.tile_k;
    if (format() == WeightFormat::kBFloat16) {
      out[k] = ReadElement(tile, Dtype::kBFloat16, i / 2 * 32 + lane * 2 + i % 2);
    } else {
      out[k] = ReadElement(tile, Dtype::kFloat32, i * kPanelOutputs + lane);
    }
  }
}

}  // namespace oneai::kernels
