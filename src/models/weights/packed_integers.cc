#include "models/weights/packed_integers.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"

namespace oneai::models {
namespace {

// Position of an output of AWQ within the int32 that holds it: lane `kAwqLane[n % 8]`.
constexpr int kAwqLane[8] = {0, 4, 1, 5, 2, 6, 3, 7};
constexpr int64_t kStrip = 64;  // outputs unpacked together, so that reads and writes stay in cache

absl::Status Bad(absl::string_view weight, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("weight '", weight, "': ", message));
}

absl::Status CheckShape(const TensorView* tensor, absl::string_view part, DType dtype,
                        const std::vector<int64_t>& shape, absl::string_view weight) {
  if (tensor == nullptr) return Bad(weight, absl::StrCat(part, " is missing"));
  if (tensor->dtype != dtype || tensor->shape != shape)
    return Bad(weight, absl::StrCat(part, " is ", DTypeName(tensor->dtype), " [",
                                    absl::StrJoin(tensor->shape, ", "), "], not ", DTypeName(dtype),
                                    " [", absl::StrJoin(shape, ", "), "]"));
  return absl::OkStatus();
}

uint32_t Word(const TensorView& tensor, int64_t index) {
  uint32_t word;
  std::memcpy(&word, tensor.data.data() + index * 4, sizeof(word));
  return word;
}

// Reads codes and zero points out of their words.
class Lanes {
 public:
  explicit Lanes(const Quantization& quantization)
      : awq_(quantization.method == QuantizationMethod::kAwq),
        bits_(quantization.bits),
        per_word_(32 / quantization.bits),
        mask_((1u << quantization.bits) - 1),
        zero_increment_(static_cast<uint32_t>(quantization.zero_point_bias) *
                        (quantization.bits == 4 ? 0x11111111u : 0x01010101u)),
        symmetric_zero_(quantization.symmetric ? 1 << (quantization.bits - 1) : -8) {}

  int64_t per_word() const { return per_word_; }
  // Zero point of output `n` in group `group`. Original GPTQ files hold words from which 1 in each
  // lane was subtracted as one number: where a zero point is 0 its lane has borrowed from the next,
  // so a word is restored as one number, too, as GPTQModel does. Symmetric weights have the middle
  // code, whichever way it was stored and labelled; fast kernels do not read it at all.
  int ZeroPoint(const TensorView& words, int64_t group, int64_t row_words, int64_t n) const {
    const uint32_t word = Word(words, group * row_words + n / per_word_) + zero_increment_;
    const int zero = static_cast<int>(word >> (LaneOf(n) * bits_) & mask_);
    return std::abs(zero - symmetric_zero_) <= 1 ? symmetric_zero_ : zero;
  }
  // Code of input k and output n.
  int Code(const TensorView& words, int64_t num_outputs, int64_t k, int64_t n) const {
    if (awq_)
      return static_cast<int>(Word(words, k * (num_outputs / per_word_) + n / per_word_) >>
                                  (LaneOf(n) * bits_) &
                              mask_);
    return static_cast<int>(
        Word(words, k / per_word_ * num_outputs + n) >> (k % per_word_ * bits_) & mask_);
  }

 private:
  // Position within its word of an output, where words lie along outputs.
  int64_t LaneOf(int64_t n) const { return awq_ ? kAwqLane[n % 8] : n % per_word_; }

  const bool awq_;
  const int bits_;
  const int64_t per_word_;
  const uint32_t mask_;
  const uint32_t zero_increment_;
  const int symmetric_zero_;  // far from any zero point when the weights are not symmetric
};

// Order of the inputs by group, from g_idx; empty when they are in order already.
absl::StatusOr<std::vector<int32_t>> ColumnOrder(const TensorView* group_index, int64_t k,
                                                 int64_t group_size, absl::string_view weight) {
  std::vector<int32_t> order;
  if (group_index == nullptr) return order;
  const int64_t num_groups = k / group_size;
  std::vector<int64_t> members(num_groups, 0);
  bool in_order = true;
  for (int64_t i = 0; i < k; ++i) {
    const int32_t group = static_cast<int32_t>(Word(*group_index, i));
    if (group < 0 || group >= num_groups)
      return Bad(weight, absl::StrCat("g_idx[", i, "] is ", group, " of ", num_groups, " groups"));
    ++members[group];
    in_order = in_order && group == i / group_size;
  }
  if (in_order) return order;
  for (int64_t group = 0; group < num_groups; ++group)
    if (members[group] != group_size)
      return Bad(weight, absl::StrCat("g_idx deals ", members[group], " inputs to group ", group,
                                      ", not ", group_size));
  order.resize(k);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return Word(*group_index, a) < Word(*group_index, b);
  });
  return order;
}

absl::Status UnpackScales(const Quantization& quantization, const PackedParts& parts,
                          absl::string_view weight, int64_t first, int64_t num_outputs,
                          QuantizedWeight& out) {
  absl::StatusOr<std::vector<float>> scales = ToFloat32(*parts.scales);
  if (!scales.ok()) return Bad(weight, scales.status().message());
  const Lanes lanes(quantization);
  const int64_t num_groups = out.k / out.group_size;
  const int64_t row_words = num_outputs / lanes.per_word();
  out.scales.resize(out.n * num_groups);
  out.offsets.resize(out.n * num_groups);
  // Codes of 8 bits move down by 128 to fit a signed byte; their zero points move along.
  const int shift = quantization.bits == 8 ? 128 : 0;
  bool any_offset = false;
  for (int64_t group = 0; group < num_groups; ++group) {
    for (int64_t n = 0; n < out.n; ++n) {
      const float scale = (*scales)[group * num_outputs + first + n];
      if (!std::isfinite(scale))
        return Bad(weight,
                   absl::StrCat("scales[", group, "][", first + n, "] is not a finite number"));
      const int zero = lanes.ZeroPoint(*parts.zeros, group, row_words, first + n);
      out.scales[n * num_groups + group] = scale;
      const float offset = scale * static_cast<float>(shift - zero);
      out.offsets[n * num_groups + group] = offset;
      any_offset = any_offset || offset != 0;
    }
  }
  if (!any_offset) out.offsets.clear();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<int64_t>> PackedShape(const Quantization& quantization,
                                                 const PackedParts& parts,
                                                 absl::string_view weight) {
  const bool awq = quantization.method == QuantizationMethod::kAwq;
  const int64_t per_word = 32 / quantization.bits;
  const TensorView& codes = *parts.codes;
  if (codes.dtype != DType::kI32 || codes.shape.size() != 2 || codes.data.empty())
    return Bad(weight, absl::StrCat("qweight is ", DTypeName(codes.dtype), " [",
                                    absl::StrJoin(codes.shape, ", "), "], not I32 of two dims"));
  // The header has checked that shape times 4 bytes fits in int64, so times 8 lanes may still not.
  int64_t packed_extent = 0;
  if (__builtin_mul_overflow(codes.shape[awq ? 1 : 0], per_word, &packed_extent))
    return Bad(weight, "the shape of qweight overflows 64 bits");
  const int64_t k = awq ? codes.shape[0] : packed_extent;
  const int64_t n = awq ? packed_extent : codes.shape[1];
  const int64_t group_size = quantization.group_size < 0 ? k : quantization.group_size;
  if (k % group_size != 0)
    return Bad(weight, absl::StrCat(k, " inputs are no whole groups of ", group_size));
  if (n % per_word != 0)
    return Bad(weight, absl::StrCat(n, " outputs are no multiple of ", per_word));
  const int64_t num_groups = k / group_size;
  RETURN_IF_ERROR(
      CheckShape(parts.zeros, "qzeros", DType::kI32, {num_groups, n / per_word}, weight));
  const DType scale_dtype = parts.scales != nullptr ? parts.scales->dtype : DType::kF16;
  if (scale_dtype != DType::kF16 && scale_dtype != DType::kBF16 && scale_dtype != DType::kF32)
    return Bad(weight, absl::StrCat("scales are ", DTypeName(scale_dtype), ", not F16"));
  RETURN_IF_ERROR(CheckShape(parts.scales, "scales", scale_dtype, {num_groups, n}, weight));
  if (parts.group_index != nullptr)
    RETURN_IF_ERROR(CheckShape(parts.group_index, "g_idx", DType::kI32, {k}, weight));
  return std::vector<int64_t>{n, k};
}

absl::StatusOr<QuantizedWeight> UnpackIntegers(const Quantization& quantization,
                                               const PackedParts& parts, absl::string_view weight,
                                               int64_t first, int64_t count) {
  ASSIGN_OR_RETURN(const std::vector<int64_t> shape, PackedShape(quantization, parts, weight));
  const int64_t num_outputs = shape[0];
  QuantizedWeight out;
  out.n = count;
  out.k = shape[1];
  out.bits = quantization.bits;
  out.group_size = quantization.group_size < 0 ? out.k : quantization.group_size;
  ASSIGN_OR_RETURN(out.column_order, ColumnOrder(parts.group_index, out.k, out.group_size, weight));
  RETURN_IF_ERROR(UnpackScales(quantization, parts, weight, first, num_outputs, out));
  const Lanes lanes(quantization);
  const int shift = quantization.bits == 8 ? 128 : 0;
  out.codes.resize(count * out.k);
  for (int64_t begin = 0; begin < count; begin += kStrip) {
    const int64_t end = std::min(begin + kStrip, count);
    for (int64_t column = 0; column < out.k; ++column) {
      const int64_t k = out.column_order.empty() ? column : out.column_order[column];
      for (int64_t n = begin; n < end; ++n)
        out.codes[n * out.k + column] =
            static_cast<int8_t>(lanes.Code(*parts.codes, num_outputs, k, first + n) - shift);
    }
  }
  return out;
}

}  // namespace oneai::models
