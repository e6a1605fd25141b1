#include "models/gguf/block_decode.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/safetensors/small_floats.h"

namespace oneai::models {
namespace {

constexpr int64_t kLargestBlock = 256;
constexpr int kLargestGroups = 16;

// The values of IQ4_NL's codes (a fixed, not uniform grid).
constexpr std::array<int8_t, 16> kNonLinear4 = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                1,    13,   25,  38,  53,  69,  89,  113};

float HalfAt(const uint8_t* bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof(bits));
  return HalfToFloat(bits);
}

uint32_t Word(const uint8_t* bytes) {
  uint32_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

// 32 codes from 16 bytes: the low nibbles are the first half, the high ones the second. `high`
// holds the fifth bit of each (Q5), else 0.
void Nibbles(const uint8_t* bytes, uint32_t high, int shift, int8_t* codes) {
  for (int i = 0; i < 16; ++i) {
    codes[i] = static_cast<int8_t>(((bytes[i] & 15) | (high >> i & 1) << 4) - shift);
    codes[i + 16] = static_cast<int8_t>(((bytes[i] >> 4) | (high >> (i + 16) & 1) << 4) - shift);
  }
}

// The 6-bit scale and minimum of group `group` of 8, packed into 12 bytes: the first four groups
// have a byte each for scale and minimum, whose top bits complete the nibbles of the last four.
void ScaleAndMin(const uint8_t* packed, int group, int* scale, int* min) {
  if (group < 4) {
    *scale = packed[group] & 63;
    *min = packed[group + 4] & 63;
  } else {
    *scale = (packed[group + 4] & 15) | (packed[group - 4] >> 6) << 4;
    *min = (packed[group + 4] >> 4) | (packed[group] >> 6) << 4;
  }
}

// Q4_K and Q5_K: half scale, half scale of the minima, 12 bytes of both, (32 bytes of fifth bits,)
// 128 bytes of nibbles; a nibble row of 32 bytes serves two groups.
void SuperBlock(const uint8_t* block, bool fifth_bits, int8_t* codes, float* scales,
                float* offsets) {
  const float scale_unit = HalfAt(block), min_unit = HalfAt(block + 2);
  const uint8_t* high = block + 16;
  const uint8_t* nibbles = fifth_bits ? block + 48 : block + 16;
  for (int group = 0; group < 8; ++group) {
    int scale = 0, min = 0;
    ScaleAndMin(block + 4, group, &scale, &min);
    scales[group] = scale_unit * static_cast<float>(scale);
    offsets[group] = -(min_unit * static_cast<float>(min));
    const uint8_t* row = nibbles + group / 2 * 32;
    for (int i = 0; i < 32; ++i) {
      const int low = group % 2 == 0 ? row[i] & 15 : row[i] >> 4;
      const int fifth = fifth_bits ? high[i] >> group & 1 : 0;
      codes[group * 32 + i] = static_cast<int8_t>(low | fifth << 4);
    }
  }
}

// Q6_K: 128 bytes of low nibbles, 64 of high bit pairs, 16 signed scales, half scale. Each half of
// the block interleaves four runs of 32.
void SixBitBlock(const uint8_t* block, int8_t* codes, float* scales) {
  const float unit = HalfAt(block + 208);
  for (int group = 0; group < 16; ++group)
    scales[group] = unit * static_cast<float>(static_cast<int8_t>(block[192 + group]));
  for (int half = 0; half < 2; ++half) {
    const uint8_t* low = block + half * 64;
    const uint8_t* high = block + 128 + half * 32;
    for (int run = 0; run < 4; ++run) {
      for (int i = 0; i < 32; ++i) {
        const uint8_t byte = low[(run & 1) * 32 + i];
        const int nibble = run < 2 ? byte & 15 : byte >> 4;
        codes[half * 128 + run * 32 + i] =
            static_cast<int8_t>((nibble | (high[i] >> (2 * run) & 3) << 4) - 32);
      }
    }
  }
}

// `offsets` is written only for types that have them.
void DecodeBlock(BlockType type, const uint8_t* block, int8_t* codes, float* scales,
                 float* offsets) {
  switch (type) {
    case BlockType::kQ4_0:
      scales[0] = HalfAt(block);
      offsets[0] = -8.f * scales[0];
      return Nibbles(block + 2, 0, 0, codes);
    case BlockType::kQ4_1:
      scales[0] = HalfAt(block);
      offsets[0] = HalfAt(block + 2);
      return Nibbles(block + 4, 0, 0, codes);
    case BlockType::kQ5_0:
      scales[0] = HalfAt(block);
      return Nibbles(block + 6, Word(block + 2), 16, codes);
    case BlockType::kQ5_1:
      scales[0] = HalfAt(block);
      offsets[0] = HalfAt(block + 2);
      return Nibbles(block + 8, Word(block + 4), 0, codes);
    case BlockType::kQ8_0:
      scales[0] = HalfAt(block);
      std::memcpy(codes, block + 2, 32);
      return;
    case BlockType::kQ4_K:
      return SuperBlock(block, /*fifth_bits=*/false, codes, scales, offsets);
    case BlockType::kQ5_K:
      return SuperBlock(block, /*fifth_bits=*/true, codes, scales, offsets);
    case BlockType::kQ6_K:
      return SixBitBlock(block, codes, scales);
    case BlockType::kIQ4_NL:
      scales[0] = HalfAt(block);
      Nibbles(block + 2, 0, 0, codes);
      for (int i = 0; i < 32; ++i) codes[i] = kNonLinear4[codes[i]];
      return;
    case BlockType::kF32:
    case BlockType::kF16:
    case BlockType::kBF16:
      return;
  }
}

absl::Status CheckFinite(const float* values, int64_t count, absl::string_view what,
                         int64_t block) {
  // Products of halves and small integers are below 2^31: their sum of magnitudes is finite.
  float sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += std::fabs(values[i]);
  if (std::isfinite(sum)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("block ", block, ": its ", what, " is not a finite number"));
}

}  // namespace

absl::Status DecodeBlocks(BlockType type, const std::byte* data, int64_t num_elements,
                          int8_t* codes, float* scales, float* offsets) {
  const BlockTraits& traits = TraitsOf(type);
  const int64_t groups = traits.elements / traits.group;
  const auto* block = reinterpret_cast<const uint8_t*>(data);
  for (int64_t i = 0; i < num_elements / traits.elements; ++i, block += traits.bytes) {
    DecodeBlock(type, block, codes, scales, offsets);
    RETURN_IF_ERROR(CheckFinite(scales, groups, "scale", i));
    if (traits.offsets) {
      RETURN_IF_ERROR(CheckFinite(offsets, groups, "offset", i));
      offsets += groups;
    }
    codes += traits.elements;
    scales += groups;
  }
  return absl::OkStatus();
}

absl::Status DecodeToFloat(BlockType type, const std::byte* data, absl::Span<float> out) {
  const BlockTraits& traits = TraitsOf(type);
  const auto load = [data](size_t i) {
    uint16_t bits;
    std::memcpy(&bits, data + 2 * i, sizeof(bits));
    return bits;
  };
  if (type == BlockType::kF32) {
    if (!out.empty()) std::memcpy(out.data(), data, out.size() * sizeof(float));
    return absl::OkStatus();
  }
  if (type == BlockType::kF16) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = HalfToFloat(load(i));
    return absl::OkStatus();
  }
  if (type == BlockType::kBF16) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = Bfloat16ToFloat(load(i));
    return absl::OkStatus();
  }
  std::array<int8_t, kLargestBlock> codes;
  std::array<float, kLargestGroups> scales, offsets{};
  const int64_t num_blocks = static_cast<int64_t>(out.size()) / traits.elements;
  for (int64_t block = 0; block < num_blocks; ++block) {
    absl::Status status = DecodeBlocks(type, data + block * traits.bytes, traits.elements,
                                       codes.data(), scales.data(), offsets.data());
    if (!status.ok())  // it counts from this block
      return absl::InvalidArgumentError(
          absl::StrCat("block ", block, ": a scale or offset is not a finite number"));
    float* const numbers = out.data() + block * traits.elements;
    for (int64_t i = 0; i < traits.elements; ++i) {
      const int64_t group = i / traits.group;
      numbers[i] = scales[group] * static_cast<float>(codes[i]) + offsets[group];
    }
  }
  return absl::OkStatus();
}

}  // namespace oneai::models
