#include <cstdlib>
#include <cstring>

#include "kernels/attention/attention_pass.h"
#include "kernels/attention/attention_tile_unit.h"
#include "kernels/attention/attention_variants.h"
#include "tests/kernels/attention/emulated_tiles.h"

namespace oneai::kernels {
namespace {

// TDPBF16PS as the Intel SDM defines it: per output, even and odd products are summed apart and the
// two sums are added to the accumulator at the end. Rows beyond the configuration are not touched.
struct EmulatedTiles {
  struct Tile {
    int rows = 0;
    alignas(64) std::byte data[16][64];
  };
  static thread_local Tile tiles[8];

  static void Configure(const AttentionTileConfig& config) {
    for (int t = 0; t < 8; ++t) {
      if (config.rows[t] < 1 || config.rows[t] > 16 || config.row_bytes[t] != 64) std::abort();
      tiles[t].rows = config.rows[t];
    }
  }
  static void Release() {
    for (Tile& tile : tiles) tile.rows = 0;
  }
  template <int kTile>
  static void Zero() {
    std::memset(tiles[kTile].data, 0, sizeof(tiles[kTile].data));
  }
  template <int kTile>
  static void Load(const void* from, int64_t stride) {
    Zero<kTile>();
    for (int r = 0; r < tiles[kTile].rows; ++r) {
      std::memcpy(tiles[kTile].data[r], static_cast<const std::byte*>(from) + r * stride, 64);
    }
  }
  template <int kTile>
  static void Store(void* to, int64_t stride) {
    for (int r = 0; r < tiles[kTile].rows; ++r) {
      std::memcpy(static_cast<std::byte*>(to) + r * stride, tiles[kTile].data[r], 64);
    }
  }
  template <int kC, int kA, int kB>
  static void MultiplyAdd() {
    if (tiles[kC].rows != tiles[kA].rows || tiles[kB].rows != 16) std::abort();
    for (int r = 0; r < tiles[kC].rows; ++r) {
      const auto* a = reinterpret_cast<const BFloat16*>(tiles[kA].data[r]);
      auto* c = reinterpret_cast<float*>(tiles[kC].data[r]);
      for (int n = 0; n < 16; ++n) {
        float even = 0, odd = 0;
        for (int pair = 0; pair < 16; ++pair) {
          const auto* b = reinterpret_cast<const BFloat16*>(tiles[kB].data[pair]);
          even += ToFloat(a[2 * pair]) * ToFloat(b[2 * n]);
          odd += ToFloat(a[2 * pair + 1]) * ToFloat(b[2 * n + 1]);
        }
        c[n] += even + odd;
      }
    }
  }
};
thread_local EmulatedTiles::Tile EmulatedTiles::tiles[8];

void AttentionOnEmulatedTiles(const AttentionArgs& args, const AttentionTask& task,
                              std::byte* scratch) {
  if (args.cache.format == KvCacheFormat::kF32) return AttentionAvx512(args, task, scratch);
  AttentionPass<TileUnit<EmulatedTiles>>::Run(args, task, scratch);
}

constexpr Variant<AttentionFn> kVariants[] = {
    {"bf16_on_emulated_tiles", CpuIsa::kAmx,
     [](const CpuFeatures& f) { return HasAvx512Bf16(f) && f.avx512_vbmi; },
     AttentionOnEmulatedTiles}};

}  // namespace

absl::Span<const Variant<AttentionFn>> EmulatedAttentionVariants() { return kVariants; }

}  // namespace oneai::kernels
