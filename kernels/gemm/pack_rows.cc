#include "kernels/gemm/pack_rows.h"

#include <cmath>
#include <cstring>

#include "kernels/cpu/float16.h"

namespace oneai::kernels {
namespace {

constexpr int64_t kPanel = PackedLayout::kPanelOutputs;
constexpr int64_t kRowBytes = 64;  // of a tile

template <typename T>
T ReadAs(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

template <typename T>
void WriteAs(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof(T));
}

// One row of a tile: 4 codes of one output, or 8 for int4. Missing codes are 0.
void PackCodes(WeightFormat format, const int8_t* codes, int64_t count, std::byte* out) {
  uint8_t bytes[4];
  for (int64_t i = 0; i < 4; ++i) {
    const int code = i < count ? codes[i] : 0;
    if (format == WeightFormat::kInt8) {
      bytes[i] = static_cast<uint8_t>(code + 128);
    } else {
      const int high = i + 4 < count ? codes[i + 4] : 0;
      bytes[i] = static_cast<uint8_t>((code & 15) | (high & 15) << 4);
    }
  }
  std::memcpy(out, bytes, 4);
}

void WriteParameters(const PackedLayout& layout, int64_t panel, int64_t group, int64_t lane,
                     float scale, float offset, std::byte* data) {
  std::byte* scales = data + layout.ScaleBegin(panel, group);
  if (layout.scale_form == ScaleForm::kFloat32) {
    WriteAs(scales + lane * 4, scale);
  } else {
    WriteAs(scales + lane * 2, FloatToHalf(scale));
  }
  std::byte* offsets = data + layout.OffsetBegin(panel, group);
  switch (layout.offset_form) {
    case OffsetForm::kNone:
    case OffsetForm::kUniformZeroPoint:
      return;
    case OffsetForm::kZeroPoint: {
      int zero_point = 0;
      ZeroPointOf(scale, offset, &zero_point);
      WriteAs(offsets + lane, static_cast<int8_t>(zero_point));
      return;
    }
    case OffsetForm::kFloat16:
      return WriteAs(offsets + lane * 2, FloatToHalf(offset));
    case OffsetForm::kFloat32:
      return WriteAs(offsets + lane * 4, offset);
  }
}

}  // namespace

void PackRowBf16(const PackedLayout& layout, int64_t row, const BFloat16* w, std::byte* data) {
  const int64_t panel = row / kPanel, lane = row % kPanel;
  const int64_t step = layout.BlockWidth(panel) * layout.tile_bytes();
  std::byte* tile = data + layout.TileBegin(panel, 0, 0) + lane * 4;
  for (int64_t k = 0; k < layout.k; k += layout.tile_k, tile += step) {
    const int64_t end = std::min(layout.k - k, layout.tile_k);
    for (int64_t i = 0; i + 2 <= end; i += 2) std::memcpy(tile + i / 2 * kRowBytes, w + k + i, 4);
    if (end % 2 != 0) std::memcpy(tile + end / 2 * kRowBytes, w + k + end - 1, 2);
  }
}

void PackRowF32(const PackedLayout& layout, int64_t row, const float* w, std::byte* data) {
  const int64_t panel = row / kPanel, lane = row % kPanel;
  const int64_t step = layout.BlockWidth(panel) * layout.tile_bytes();
  std::byte* tile = data + layout.TileBegin(panel, 0, 0) + lane * 4;
  for (int64_t k = 0; k < layout.k; k += layout.tile_k, tile += step) {
    const int64_t end = std::min(layout.k - k, layout.tile_k);
    for (int64_t i = 0; i < end; ++i) std::memcpy(tile + i * kRowBytes, w + k + i, 4);
  }
}

void PackRowCodes(const PackedLayout& layout, int64_t row, const int8_t* codes, const float* scales,
                  const float* offsets, std::byte* data) {
  const int64_t panel = row / kPanel, lane = row % kPanel;
  const int64_t codes_per_row = layout.format == WeightFormat::kInt8 ? 4 : 8;
  const int64_t step = layout.BlockWidth(panel) * layout.tile_bytes();
  for (int64_t group = 0; group < layout.num_groups(); ++group) {
    const int64_t begin = group * layout.group_size;
    const bool exists = begin < layout.k;
    WriteParameters(layout, panel, group, lane, exists ? scales[group] : 0.0f,
                    exists && offsets != nullptr ? offsets[group] : 0.0f, data);
    std::byte* tile = data + layout.TileBegin(panel, group, 0) + lane * 4;
    for (int64_t k = begin; k < begin + layout.group_size; k += layout.tile_k, tile += step) {
      for (int64_t i = 0; i < layout.tile_k; i += codes_per_row) {
        PackCodes(layout.format, codes + k + i, layout.k - k - i,
                  tile + i / codes_per_row * kRowBytes);
      }
    }
  }
}

bool ZeroPointOf(float scale, float offset, int* zero_point) {
  *zero_point = 0;
  if (offset == 0.0f) return true;
  const float z = std::nearbyint(-offset / scale);
  if (!(z >= -128.0f && z <= 127.0f) || scale * -z != offset) return false;
  *zero_point = static_cast<int>(z);
  return true;
}

float ReadScale(const PackedLayout& layout, const std::byte* scales, int64_t lane) {
  if (layout.scale_form == ScaleForm::kFloat32) return ReadAs<float>(scales + lane * 4);
  return HalfToFloat(ReadAs<uint16_t>(scales + lane * 2));
}

float ReadOffset(const PackedLayout& layout, const std::byte* offsets, int64_t lane, float scale) {
  switch (layout.offset_form) {
    case OffsetForm::kNone:
      return 0.0f;
    case OffsetForm::kUniformZeroPoint:
      return scale * -static_cast<float>(layout.zero_point);
    case OffsetForm::kZeroPoint:
      return scale * -static_cast<float>(ReadAs<int8_t>(offsets + lane));
    case OffsetForm::kFloat16:
      return HalfToFloat(ReadAs<uint16_t>(offsets + lane * 2));
    case OffsetForm::kFloat32:
      return ReadAs<float>(offsets + lane * 4);
  }
  return 0.0f;
}

StoredWeight ReadStored(const PackedLayout& layout, const std::byte* data, int64_t row, int64_t k) {
  const int64_t panel = row / kPanel, lane = row % kPanel;
  const int64_t group = k / layout.group_size;
  const int64_t in_group = k % layout.group_size;
  const int64_t i = in_group % layout.tile_k;
  const std::byte* tile = data + layout.TileBegin(panel, group, in_group / layout.tile_k);
  StoredWeight stored;
  if (layout.format == WeightFormat::kInt8) {
    stored.code = ReadAs<uint8_t>(tile + i / 4 * kRowBytes + lane * 4 + i % 4) - 128;
  } else {
    const auto byte = ReadAs<uint8_t>(tile + i / 8 * kRowBytes + lane * 4 + i % 4);
    stored.code = i % 8 < 4 ? byte & 15 : byte >> 4;
  }
  stored.scale = ReadScale(layout, data + layout.ScaleBegin(panel, group), lane);
  stored.offset = ReadOffset(layout, data + layout.OffsetBegin(panel, group), lane, stored.scale);
  return stored;
}

}  // namespace oneai::kernels
