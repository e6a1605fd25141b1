// The loop is in gemm_on_tiles.h, here is the hardware. Bottleneck: the matrix unit for many rows,
// DRAM for few. Never run on hardware by its authors: machines without the unit prove the loop on
// tiles in software (gemm_on_tiles_test.cc).
#include "kernels/gemm/gemm_avx512_scale.h"
#include "kernels/gemm/gemm_on_tiles.h"
#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

// Inline assembly instead of the compiler's macros: those paste the tile's number as text and so
// cannot take it from a template argument. Operand order is AT&T's, destination last.
struct HardwareTiles {
  static void Configure(const TileConfig& config) {
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
  }
  static void Release() { __asm__ volatile("tilerelease" : :); }

  template <int kTile>
  static void Zero() {
    __asm__ volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }
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
  // c += a b, operands in AT&T's order: b, a, c.
  template <int kC, int kA, int kB>
  static void MultiplyBf16() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
  template <int kC, int kA, int kB>
  static void MultiplyInt8() {
    __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
};

}  // namespace

void GemmAmxBf16(const GemmTask& task) { TileLoop<Bf16OnTiles<HardwareTiles>>(task).Run(); }

void GemmAmxInt8(const GemmTask& task) {
  TileLoop<IntOnTiles<HardwareTiles, Avx512Scale, 8>>(task).Run();
}

void GemmAmxInt4(const GemmTask& task) {
  TileLoop<IntOnTiles<HardwareTiles, Avx512Scale, 4>>(task).Run();
}

}  // namespace oneai::kernels
