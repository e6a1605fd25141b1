// Compiled with FMA, so that fma() is one instruction that obeys MXCSR.
#include <xmmintrin.h>

#include <bit>
#include <cstring>

#include "tests/testing/amx_unit.h"

namespace oneai::testing {
namespace {

constexpr unsigned kDazFtzNearestMasked = 0x9fc0;

// Sets MXCSR for a scope. The barriers keep arithmetic inside.
class ScopedMxcsr {
 public:
  explicit ScopedMxcsr(unsigned value) : before_(_mm_getcsr()) { Set(value); }
  ~ScopedMxcsr() { Set(before_); }

 private:
  static void Set(unsigned value) { __asm__ volatile("ldmxcsr %0" : : "m"(value) : "memory"); }
  unsigned before_;
};

float FromBf16(uint32_t bits) { return std::bit_cast<float>(bits << 16); }

__attribute__((noinline)) void SumPairs(const std::byte* a, const std::byte (*b)[kAmxRowBytes],
                                        int depth, std::byte* c) {
  float even[16] = {}, odd[16] = {};
  for (int k = 0; k < depth; ++k) {
    uint32_t pair_a, pairs_b[16];
    std::memcpy(&pair_a, a + 4 * k, 4);
    std::memcpy(pairs_b, b[k], sizeof(pairs_b));
    const float even_a = FromBf16(pair_a & 0xffff), odd_a = FromBf16(pair_a >> 16);
    for (int n = 0; n < 16; ++n) {
      even[n] = __builtin_fmaf(even_a, FromBf16(pairs_b[n] & 0xffff), even[n]);
      odd[n] = __builtin_fmaf(odd_a, FromBf16(pairs_b[n] >> 16), odd[n]);
    }
  }
  float sums[16];
  std::memcpy(sums, c, sizeof(sums));
  for (int n = 0; n < 16; ++n) sums[n] += even[n] + odd[n];
  std::memcpy(c, sums, sizeof(sums));
}

template <typename A, typename B>
void SumQuadruples(const std::byte* a, const std::byte (*b)[kAmxRowBytes], int depth,
                   std::byte* c) {
  uint32_t sums[16];
  std::memcpy(sums, c, sizeof(sums));
  for (int k = 0; k < depth; ++k) {
    for (int i = 0; i < 4; ++i) {
      const int32_t of_a = static_cast<A>(a[4 * k + i]);
      for (int n = 0; n < 16; ++n) {
        sums[n] += static_cast<uint32_t>(of_a * int32_t{static_cast<B>(b[k][4 * n + i])});
      }
    }
  }
  std::memcpy(c, sums, sizeof(sums));
}

}  // namespace

void AmxRowBf16(const std::byte* a, const std::byte (*b)[kAmxRowBytes], int depth, std::byte* c) {
  const ScopedMxcsr mxcsr(kDazFtzNearestMasked);
  SumPairs(a, b, depth, c);
}

void AmxRowBytes(const std::byte* a, bool a_signed, const std::byte (*b)[kAmxRowBytes],
                 bool b_signed, int depth, std::byte* c) {
  if (a_signed && b_signed) return SumQuadruples<int8_t, int8_t>(a, b, depth, c);
  if (a_signed) return SumQuadruples<int8_t, uint8_t>(a, b, depth, c);
  if (b_signed) return SumQuadruples<uint8_t, int8_t>(a, b, depth, c);
  return SumQuadruples<uint8_t, uint8_t>(a, b, depth, c);
}

}  // namespace oneai::testing
