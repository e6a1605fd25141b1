#include "models/gguf/block_encode.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/safetensors/small_floats.h"

namespace oneai::models {
namespace {

constexpr float kTiny = 1e-15f;  // groups below it are stored as zeros

// Nearest integer, ties to even, of |x| < 2^22: the adder rounds, and the loops below vectorise.
inline float Nearest(float x) { return (x + 12582912.f) - 12582912.f; }

inline float Clamp(float x, float low, float high) { return std::min(std::max(x, low), high); }

void PutHalf(uint8_t* out, float value) {
  const uint16_t bits = FloatToHalf(value);
  std::memcpy(out, &bits, sizeof(bits));
}

// `value` as the half that is stored says it.
float RoundToHalf(float value) { return HalfToFloat(FloatToHalf(value)); }

float InverseOrZero(float scale) { return scale != 0 ? 1.f / scale : 0.f; }

void EncodeQ8_0(const float* x, uint8_t* block) {
  float largest = 0;
  for (int i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float scale = RoundToHalf(largest / 127), inverse = InverseOrZero(scale);
  PutHalf(block, scale);
  for (int i = 0; i < 32; ++i)
    block[2 + i] = static_cast<uint8_t>(
        static_cast<int8_t>(Clamp(Nearest(Clamp(x[i] * inverse, -128, 128)), -127, 127)));
}

// The number of largest magnitude takes code 0, that of -8, so that all 16 codes are used.
void EncodeQ4_0(const float* x, uint8_t* block) {
  float extreme = 0;
  for (int i = 0; i < 32; ++i)
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  const float scale = RoundToHalf(extreme / -8), inverse = InverseOrZero(scale);
  PutHalf(block, scale);
  auto code = [&](int i) {
    return static_cast<uint8_t>(Clamp(Nearest(Clamp(x[i] * inverse + 8, -1, 17)), 0, 15));
  };
  for (int i = 0; i < 16; ++i) block[2 + i] = static_cast<uint8_t>(code(i) | code(i + 16) << 4);
}

struct AffineFit {
  float scale = 0, min = 0;  // x ~ scale * code - min, both >= 0
};

// Scale and minimum for 32 numbers and codes 0..15. Each of 21 divisions of the range proposes
// codes; least squares gives them the best scale and minimum, and the proposal of least error wins.
AffineFit FitAffine(const float* x) {
  float low = 0, high = x[0], square_sum = 0;
  for (int i = 0; i < 32; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
    square_sum += x[i] * x[i];
  }
  if (!(high - low > kTiny)) return {0, -low};
  const float root_mean_square = std::sqrt(square_sum / 32);
  std::array<float, 32> weight, codes;
  float sum_w = 0, sum_x = 0;
  for (int i = 0; i < 32; ++i) {
    weight[i] = root_mean_square + std::fabs(x[i]);
    sum_w += weight[i];
    sum_x += weight[i] * x[i];
  }
  AffineFit best{(high - low) / 15, -low};
  float least_error = INFINITY;
  for (int step = 0; step <= 20; ++step) {
    const float inverse = (14.f + 0.1f * static_cast<float>(step)) / (high - low);
    float sum_c = 0, sum_cc = 0, sum_cx = 0;
    for (int i = 0; i < 32; ++i) {
      codes[i] = Clamp(Nearest(inverse * (x[i] - low)), 0, 15);
      const float wc = weight[i] * codes[i];
      sum_c += wc;
      sum_cc += wc * codes[i];
      sum_cx += wc * x[i];
    }
    const float determinant = sum_w * sum_cc - sum_c * sum_c;
    if (!(determinant > 0)) continue;
    float scale = (sum_w * sum_cx - sum_x * sum_c) / determinant;
    float offset = (sum_cc * sum_x - sum_c * sum_cx) / determinant;
    if (offset > 0) {  // only what is subtracted can be stored
      offset = 0;
      scale = sum_cx / sum_cc;
    }
    float error = 0;
    for (int i = 0; i < 32; ++i) {
      const float difference = scale * codes[i] + offset - x[i];
      error += weight[i] * difference * difference;
    }
    if (error < least_error && scale > 0) {
      least_error = error;
      best = {scale, -offset};
    }
  }
  return best;
}

// The inverse of block_decode's ScaleAndMin.
void PackScaleAndMin(uint8_t* packed, int group, int scale, int min) {
  if (group < 4) {
    packed[group] |= static_cast<uint8_t>(scale);
    packed[group + 4] |= static_cast<uint8_t>(min);
  } else {
    packed[group + 4] = static_cast<uint8_t>((scale & 15) | (min & 15) << 4);
    packed[group - 4] |= static_cast<uint8_t>(scale >> 4 << 6);
    packed[group] |= static_cast<uint8_t>(min >> 4 << 6);
  }
}

void EncodeQ4_K(const float* x, uint8_t* block) {
  std::array<AffineFit, 8> fits;
  float largest_scale = 0, largest_min = 0;
  for (int group = 0; group < 8; ++group) {
    fits[group] = FitAffine(x + group * 32);
    largest_scale = std::max(largest_scale, fits[group].scale);
    largest_min = std::max(largest_min, fits[group].min);
  }
  const float scale_unit = RoundToHalf(largest_scale / 63);
  const float min_unit = RoundToHalf(largest_min / 63);
  const float scale_inverse = InverseOrZero(scale_unit), min_inverse = InverseOrZero(min_unit);
  std::memset(block, 0, 144);
  PutHalf(block, scale_unit);
  PutHalf(block + 2, min_unit);
  for (int group = 0; group < 8; ++group) {
    const int scale = static_cast<int>(Clamp(Nearest(fits[group].scale * scale_inverse), 0, 63));
    const int min = static_cast<int>(Clamp(Nearest(fits[group].min * min_inverse), 0, 63));
    PackScaleAndMin(block + 4, group, scale, min);
    const float step = scale_unit * static_cast<float>(scale);
    const float inverse = InverseOrZero(step), offset = min_unit * static_cast<float>(min);
    for (int i = 0; i < 32; ++i) {
      const float code =
          Clamp(Nearest(Clamp((x[group * 32 + i] + offset) * inverse, -1, 16)), 0, 15);
      block[16 + group / 2 * 32 + i] |=
          static_cast<uint8_t>(static_cast<int>(code) << (group % 2 * 4));
    }
  }
}

// Scale for 16 numbers and codes -32..31, found as FitAffine does; the weights are squares.
float FitScale(const float* x) {
  float extreme = 0;
  for (int i = 0; i < 16; ++i)
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  if (std::fabs(extreme) < kTiny) return 0;
  // Weighted least error is the largest (sum w x c)^2 / sum w c c: compared scaled to |x| <= 1, so
  // that fourth powers cannot leave the range of floats.
  const float inverse_extreme = 1 / extreme;
  float best_scale = 0, best_gain = 0;
  for (int step = -9; step <= 9; ++step) {
    const float inverse = -(32.f + 0.1f * static_cast<float>(step));
    float sum_cx = 0, sum_cc = 0;
    for (int i = 0; i < 16; ++i) {
      const float y = x[i] * inverse_extreme, weight = y * y;
      const float code = Clamp(Nearest(inverse * y), -32, 31);
      sum_cx += weight * code * y;
      sum_cc += weight * code * code;
    }
    if (sum_cc > 0 && sum_cx * sum_cx > best_gain * sum_cc) {
      best_scale = sum_cx / sum_cc;
      best_gain = best_scale * sum_cx;
    }
  }
  return best_scale * extreme;
}

void EncodeQ6_K(const float* x, uint8_t* block) {
  std::array<float, 16> scales;
  float extreme = 0;
  for (int group = 0; group < 16; ++group) {
    scales[group] = FitScale(x + group * 16);
    if (std::fabs(scales[group]) > std::fabs(extreme)) extreme = scales[group];
  }
  std::memset(block, 0, 210);
  const float unit = RoundToHalf(extreme / -128), unit_inverse = InverseOrZero(unit);
  PutHalf(block + 208, unit);
  std::array<int, 256> codes;
  for (int group = 0; group < 16; ++group) {
    const float scale = Clamp(Nearest(Clamp(scales[group] * unit_inverse, -129, 129)), -128, 127);
    block[192 + group] = static_cast<uint8_t>(static_cast<int8_t>(scale));
    const float inverse = InverseOrZero(unit * scale);
    for (int i = 0; i < 16; ++i)
      codes[group * 16 + i] =
          static_cast<int>(Clamp(Nearest(Clamp(x[group * 16 + i] * inverse, -33, 32)), -32, 31)) +
          32;
  }
  for (int half = 0; half < 2; ++half) {
    for (int run = 0; run < 4; ++run) {
      for (int i = 0; i < 32; ++i) {
        const int code = codes[half * 128 + run * 32 + i];
        block[half * 64 + (run & 1) * 32 + i] |=
            static_cast<uint8_t>((code & 15) << (run < 2 ? 0 : 4));
        block[128 + half * 32 + i] |= static_cast<uint8_t>(code >> 4 << (2 * run));
      }
    }
  }
}

// Largest magnitude that a block may hold, so that its scale is a finite half.
float LargestOf(BlockType type) {
  switch (type) {
    case BlockType::kF16:
      return 65504.f;
    case BlockType::kQ8_0:
      return 65504.f * 127;
    case BlockType::kQ4_0:
      return 65504.f * 8;
    case BlockType::kQ4_K:  // the fitted scale may exceed the range / 15, by less than 2
      return 65504.f * 63 * 4;
    case BlockType::kQ6_K:
      return 65504.f * 128 * 16;
    default:
      return std::numeric_limits<float>::max();
  }
}

}  // namespace

bool CanEncode(BlockType type) {
  switch (type) {
    case BlockType::kF32:
    case BlockType::kF16:
    case BlockType::kBF16:
    case BlockType::kQ8_0:
    case BlockType::kQ4_0:
    case BlockType::kQ4_K:
    case BlockType::kQ6_K:
      return true;
    case BlockType::kQ4_1:
    case BlockType::kQ5_0:
    case BlockType::kQ5_1:
    case BlockType::kQ5_K:
    case BlockType::kIQ4_NL:
      return false;
  }
  return false;
}

absl::Status EncodeBlocks(BlockType type, absl::Span<const float> values, std::byte* out) {
  const BlockTraits& traits = TraitsOf(type);
  if (!CanEncode(type) || static_cast<int64_t>(values.size()) % traits.elements != 0)
    return absl::InvalidArgumentError(
        absl::StrCat(values.size(), " numbers cannot be written as ", traits.name));
  const float largest = LargestOf(type);
  for (size_t i = 0; i < values.size(); ++i)
    if (!(std::fabs(values[i]) <= largest))
      return absl::InvalidArgumentError(
          absl::StrCat("element ", i, " is ", values[i], ", which ", traits.name, " cannot hold"));
  auto* block = reinterpret_cast<uint8_t*>(out);
  const float* x = values.data();
  const int64_t num_blocks = static_cast<int64_t>(values.size()) / traits.elements;
  for (int64_t i = 0; i < num_blocks; ++i, x += traits.elements, block += traits.bytes) {
    if (type == BlockType::kF32) {
      std::memcpy(block, x, sizeof(float));
    } else if (type == BlockType::kF16) {
      PutHalf(block, *x);
    } else if (type == BlockType::kBF16) {
      const uint16_t bits = FloatToBfloat16(*x);
      std::memcpy(block, &bits, sizeof(bits));
    } else if (type == BlockType::kQ8_0) {
      EncodeQ8_0(x, block);
    } else if (type == BlockType::kQ4_0) {
      EncodeQ4_0(x, block);
    } else if (type == BlockType::kQ4_K) {
      EncodeQ4_K(x, block);
    } else {
      EncodeQ6_K(x, block);
    }
  }
  return absl::OkStatus();
}

}  // namespace oneai::models
