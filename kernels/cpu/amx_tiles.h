// The AMX instructions that the kernels use, one function each. Include only from files of x86;
// call only where CpuFeatures has amx_bf16 or amx_int8, which includes the kernel's permission.
// Sources: Intel SDM volume 2, LDTILECFG, TILELOADD, TDPBF16PS, TDPBSUD; volume 1, chapter 18.
//
// A thread configures its tiles, uses them and releases them: while any tile is in use, each switch
// of threads saves and restores up to 8 KiB.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oneai::kernels {

// Memory operand of LDTILECFG for palette 1: 8 tiles of up to 16 rows x 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

// Inline assembly instead of the compiler's macros: those paste the tile's number as text and so
// cannot take it from a template argument. Operand order is AT&T's, destination last.
struct AmxTiles {
  // Clears all tiles. Some hundred cycles.
  static void Configure(const TileConfig& config) {
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
  }
  static void Release() { __asm__ volatile("tilerelease" : :); }

  template <int kTile>
  static void Zero() {
    __asm__ volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }
  // Rows of memory are `stride` bytes apart.
  template <int kTile>
  static void Load(const void* from, int64_t stride) {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2"
                     :
                     : "r"(from), "r"(stride), "i"(kTile)
                     : "memory");
  }
  template <int kTile>
  static void Store(void* to, int64_t stride) {
    __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)"
                     :
                     : "r"(to), "r"(stride), "i"(kTile)
                     : "memory");
  }
  // c += a b on pairs of bf16; operands in AT&T's order: b, a, c.
  template <int kC, int kA, int kB>
  static void MultiplyBf16() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
  // c += a b on quadruples of signed a and unsigned b.
  template <int kC, int kA, int kB>
  static void MultiplyInt8() {
    __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
};

}  // namespace oneai::kernels
