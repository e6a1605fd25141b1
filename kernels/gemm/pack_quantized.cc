// Codes that a file holds, to the packed form, exactly. Parts that differ in bits or group size
// meet in the finer one: a code of 4 bits is a code of 8, and a scale of 128 columns is four scales
// of 32.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/cpu/float16.h"
#include "kernels/gemm/pack_rows.h"
#include "kernels/gemm/packed_matrix.h"

namespace oneai::kernels {
namespace {

absl::Status Refuse(size_t part, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("pack: quantised part ", part, " ", what));
}

absl::Status CheckColumnOrder(const QuantizedMatrixView& part, const QuantizedMatrixView& first,
                              size_t index) {
  if ((part.column_order == nullptr) != (first.column_order == nullptr)) {
    return Refuse(index, "has another column order than the first");
  }
  if (part.column_order == nullptr) return absl::OkStatus();
  if (std::memcmp(part.column_order, first.column_order, part.k * sizeof(int32_t)) != 0) {
    return Refuse(index, "has another column order than the first: pack it by itself");
  }
  std::vector<bool> seen(part.k, false);
  for (int64_t i = 0; i < part.k; ++i) {
    const int32_t column = part.column_order[i];
    if (column < 0 || column >= part.k || seen[column]) {
      return Refuse(index, "has a column order that is no permutation of its inputs");
    }
    seen[column] = true;
  }
  return absl::OkStatus();
}

absl::Status CheckPart(const QuantizedMatrixView& part, const QuantizedMatrixView& first,
                       size_t index) {
  if (part.n < 0 || part.k <= 0 || (part.bits != 4 && part.bits != 8)) {
    return Refuse(index, absl::StrCat("of ", part.n, " x ", part.k, " codes of ", part.bits,
                                      " bits is no matrix of 4 or 8 bits"));
  }
  if (part.k != first.k) {
    return Refuse(index, absl::StrCat("has depth ", part.k, ", the first ", first.k));
  }
  if (part.k > PackedMatrix::kIntegerDepthMax) {
    return Refuse(index, absl::StrCat("has depth ", part.k, ", above the ",
                                      PackedMatrix::kIntegerDepthMax, " of 32-bit sums"));
  }
  if (part.group_size != part.k &&
      (part.group_size <= 0 || part.group_size % 16 != 0 || part.k % part.group_size != 0)) {
    return Refuse(index,
                  absl::StrCat("has groups of ", part.group_size, " in a depth of ", part.k,
                               "; a group is the whole depth or a multiple of 16 that divides it"));
  }
  return CheckColumnOrder(part, first, index);
}

// What the scan over all scales, offsets and codes found.
struct Contents {
  bool finite = true, codes_in_range = true;
  bool half_scales = true, half_offsets = true, no_offsets = true;
  bool zero_points = true, uniform = true;
  int zero_point = -1000;  // of the first group with a scale; -1000 before it

  void Add(float scale, float offset) {
    const auto exact = [](float x) { return HalfToFloat(FloatToHalf(x)) == x; };
    finite &= std::isfinite(scale) && std::isfinite(offset);
    half_scales &= exact(scale);
    half_offsets &= exact(offset);
    no_offsets &= offset == 0.0f;
    int z = 0;
    if (!ZeroPointOf(scale, offset, &z)) {
      zero_points = false;
    } else if (scale != 0.0f) {
      if (zero_point == -1000) zero_point = z;
      uniform &= z == zero_point;
    }
  }
};

Contents Scan(absl::Span<const QuantizedMatrixView> parts) {
  Contents contents;
  for (const QuantizedMatrixView& part : parts) {
    const int64_t count = part.n * (part.k / part.group_size);
    for (int64_t i = 0; i < count; ++i) {
      contents.Add(part.scales[i], part.offsets != nullptr ? part.offsets[i] : 0.0f);
    }
    if (part.bits == 4) {
      int bits = 0;
      for (int64_t i = 0; i < part.n * part.k; ++i) bits |= part.codes[i];
      contents.codes_in_range &= (bits & ~15) == 0;
    }
  }
  return contents;
}

void ChooseForms(const Contents& contents, PackedLayout& layout) {
  layout.scale_form = contents.half_scales ? ScaleForm::kFloat16 : ScaleForm::kFloat32;
  if (contents.no_offsets) {
    layout.offset_form = OffsetForm::kNone;
  } else if (contents.zero_points && contents.uniform) {
    layout.offset_form = OffsetForm::kUniformZeroPoint;
    layout.zero_point = contents.zero_point;
  } else if (contents.zero_points) {
    layout.offset_form = OffsetForm::kZeroPoint;
  } else {
    layout.offset_form = contents.half_offsets ? OffsetForm::kFloat16 : OffsetForm::kFloat32;
  }
}

// Repeats each of `count` values `times` times, or returns them as they are.
const float* Repeat(const float* values, int64_t count, int64_t times, std::vector<float>& out) {
  if (values == nullptr || times == 1) return values;
  out.clear();
  for (int64_t i = 0; i < count; ++i) out.insert(out.end(), times, values[i]);
  return out.data();
}

void PackPart(const QuantizedMatrixView& part, const PackedLayout& layout, int64_t group_size,
              int64_t first_row, std::byte* data, KernelContext& ctx) {
  const int64_t groups = part.k / part.group_size;
  const int64_t times = part.group_size / group_size;
  ctx.threads().ParallelFor(part.n, [&](int64_t begin, int64_t end, int) {
    std::vector<float> scales, offsets;
    for (int64_t i = begin; i < end; ++i) {
      const float* row_offsets = part.offsets != nullptr ? part.offsets + i * groups : nullptr;
      PackRowCodes(layout, first_row + i, part.codes + i * part.k,
                   Repeat(part.scales + i * groups, groups, times, scales),
                   Repeat(row_offsets, groups, times, offsets), data);
    }
  });
}

}  // namespace

absl::StatusOr<PackedMatrix> PackedMatrix::PackQuantized(
    absl::Span<const QuantizedMatrixView> parts, KernelContext& ctx) {
  if (parts.empty()) return absl::InvalidArgumentError("pack: no matrix given");
  const int64_t k = parts.front().k;
  int64_t n = 0, group_size = k;
  bool all_int4 = true;
  for (size_t i = 0; i < parts.size(); ++i) {
    RETURN_IF_ERROR(CheckPart(parts[i], parts.front(), i));
    n += parts[i].n;
    group_size = std::min(group_size, parts[i].group_size);
    all_int4 &= parts[i].bits == 4;
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].group_size % group_size != 0) {
      return Refuse(i, absl::StrCat("has groups of ", parts[i].group_size,
                                    ", which are no multiple of another part's ", group_size,
                                    ": pack it by itself"));
    }
  }
  const Contents contents = Scan(parts);
  if (!contents.finite) {
    return absl::InvalidArgumentError("pack: a scale or an offset is no finite number");
  }
  if (!contents.codes_in_range) {
    return absl::InvalidArgumentError("pack: a code of 4 bits is outside of [0, 15]");
  }
  PackedLayout layout =
      PackedLayout::Make(all_int4 ? WeightFormat::kInt4 : WeightFormat::kInt8, n, k, group_size);
  ChooseForms(contents, layout);
  const int32_t* order = parts.front().column_order;
  ASSIGN_OR_RETURN(PackedMatrix packed, Allocate(layout, order != nullptr, ctx));
  if (n == 0) return packed;
  std::byte* const data = packed.owned_.get();
  if (order != nullptr) std::memcpy(data + layout.bytes(), order, k * sizeof(int32_t));
  int64_t first_row = 0;
  for (const QuantizedMatrixView& part : parts) {
    PackPart(part, layout, group_size, first_row, data, ctx);
    first_row += part.n;
  }
  return packed;
}

}  // namespace oneai::kernels
