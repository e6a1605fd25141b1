// File: models/safetensors/small_floats.h
//
// Floating-point numbers of 16 and 8 bits to and from float32. To float32 is exact; from it rounds
// to nearest, ties to even. Sources: IEEE 754-2019 section 3.6 (F16), arXiv:2209.05433 (FP8).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace oneai::models {

inline float Bfloat16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline uint16_t FloatToBfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40);  // NaN
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Without a branch on the exponent: shifting the fields into place leaves the number 2^112 too
// small, normal or not, and one exact multiplication mends that.
inline float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fff) << 13;
  if (magnitude >= 0x0f800000u) return std::bit_cast<float>(sign | magnitude | 0x7f800000u);
  const float value = std::bit_cast<float>(magnitude) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value));
}

inline uint16_t FloatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00);  // 65520 and above
  if (magnitude < 0x38800000u) {  // below 2^-14: units of 2^-24, rounded by the adder
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t odd = magnitude >> 13 & 1;
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xfff + odd) >> 13));
}

// FP8 E4M3 ("fn"): no infinities, 0x7f and 0xff are NaN, the largest is 448.
inline float Float8E4M3ToFloat(uint8_t bits) {
  const int exponent = bits >> 3 & 15, fraction = bits & 7;
  if ((bits & 0x7f) == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  const float magnitude = exponent == 0
                              ? std::ldexp(static_cast<float>(fraction), -9)
                              : std::ldexp(static_cast<float>(fraction + 8), exponent - 10);
  return bits & 0x80 ? -magnitude : magnitude;
}

// Saturates at +-448, as quantisers do; NaN stays NaN.
inline uint8_t FloatToFloat8E4M3(float value) {
  const uint8_t sign = std::signbit(value) ? 0x80 : 0;
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return sign | 0x7f;
  if (magnitude >= 448.f) return sign | 0x7e;
  if (magnitude < 0x1p-6f) {  // subnormal: units of 2^-9
    return sign | static_cast<uint8_t>(std::nearbyintf(magnitude * 0x1p9f));
  }
  int exponent = 0;
  const float fraction = std::frexp(magnitude, &exponent);             // [0.5, 1)
  const int units = static_cast<int>(std::nearbyintf(fraction * 16));  // 8 .. 16
  return sign | static_cast<uint8_t>((exponent + 6) * 8 + units - 8);
}

// FP8 E5M2: the upper byte of a half.
inline float Float8E5M2ToFloat(uint8_t bits) {
  return HalfToFloat(static_cast<uint16_t>(bits << 8));
}

}  // namespace oneai::models
