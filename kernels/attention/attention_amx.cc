// The loop is in attention_tile_unit.h, here is the hardware.
#include "kernels/attention/attention_pass.h"
#include "kernels/attention/attention_tile_unit.h"
#include "kernels/attention/attention_variants.h"

namespace oneai::kernels {
namespace {

// Inline assembly instead of the compiler's macros: those paste the tile's number as text and so
// cannot take it from a template argument. Operand order is AT&T's, destination last.
struct HardwareTiles {
  static void Configure(const AttentionTileConfig& config) {
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

void AttentionAmxBf16(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch) {
  if (args.cache.format == KvCacheFormat::kF32) return AttentionAvx512(args, task, scratch);
  AttentionPass<TileUnit<HardwareTiles>>::Run(args, task, scratch);
}

}  // namespace oneai::kernels
