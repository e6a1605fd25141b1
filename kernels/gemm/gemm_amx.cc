// Idea: a B tile is one KiB of a panel as it lies in memory and an A tile one KiB of the rounded
// rows, so the unit is fed by plain tile loads; 2 x 2 accumulator tiles give four products per four
// loads. The loop is in gemm_on_tiles.h, here is the hardware. Bottleneck: the matrix unit for many
// rows, DRAM for few. Measured: benchmarks/kernels/gemm_bench.
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
  // c += a b
  template <int kC, int kA, int kB>
  static void MultiplyAdd() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
};

}  // namespace

void GemmAmxBf16(const GemmTask& task) { GemmOnTiles<HardwareTiles>(task); }

}  // namespace oneai::kernels
