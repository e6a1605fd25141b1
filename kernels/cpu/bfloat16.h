// bfloat16 as a storage type: the upper half of an IEEE float32. Arithmetic is always done in
// float32.
#pragma once

#include <bit>
#include <cstdint>

namespace oneai::kernels {

// Two bytes, trivially copyable, the layout of BF16 in safetensors.
struct BFloat16 {
  uint16_t bits;
};

// Widens exactly.
inline float ToFloat(BFloat16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16);
}

// Rounds to nearest, ties to even; overflow goes to infinity; a NaN stays a NaN (made quiet).
inline BFloat16 ToBFloat16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((bits >> 16) | 0x0040u)};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

// Element type of a buffer that a kernel reads or writes through a void pointer.
enum class Dtype { kFloat32, kBFloat16 };

// Bytes per element.
constexpr int64_t DtypeBytes(Dtype dtype) { return dtype == Dtype::kFloat32 ? 4 : 2; }

}  // namespace oneai::kernels
