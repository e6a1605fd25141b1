// Proves the AMX loop on tiles in software, so that it is tested on processors without the unit
// too.
#include "kernels/gemm/gemm_on_tiles.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/gemm/quantized_weights.h"
#include "tests/kernels/random_tensor.h"

namespace oneai::kernels {
namespace {

// TDPBF16PS as the Intel SDM defines it: per output, even and odd products are summed apart and the
// two sums are added to the accumulator at the end. Rows beyond the configuration must not be
// touched.
struct EmulatedTiles {
  struct Tile {
    int rows = 0, bytes = 0;
    alignas(64) std::byte data[16][64];
  };
  static thread_local Tile tiles[8];

  static void Configure(const TileConfig& config) {
    ASSERT_EQ(config.palette, 1);
    for (int t = 0; t < 8; ++t) {
      ASSERT_GE(config.rows[t], 1);
      ASSERT_LE(config.rows[t], 16);
      ASSERT_LE(config.row_bytes[t], 64);
      tiles[t].rows = config.rows[t];
      tiles[t].bytes = config.row_bytes[t];
    }
  }
  static void Release() {
    for (Tile& tile : tiles) tile.rows = 0;
  }
  template <int kTile>
  static void Zero() {
    ASSERT_GT(tiles[kTile].rows, 0);
    std::memset(tiles[kTile].data, 0, sizeof(tiles[kTile].data));
  }
  template <int kTile>
  static void Load(const void* from, int64_t stride) {
    std::memset(tiles[kTile].data, 0, sizeof(tiles[kTile].data));
    for (int r = 0; r < tiles[kTile].rows; ++r) {
      std::memcpy(tiles[kTile].data[r], static_cast<const std::byte*>(from) + r * stride,
                  tiles[kTile].bytes);
    }
  }
  template <int kTile>
  static void Store(void* to, int64_t stride) {
    for (int r = 0; r < tiles[kTile].rows; ++r) {
      std::memcpy(static_cast<std::byte*>(to) + r * stride, tiles[kTile].data[r],
                  tiles[kTile].bytes);
    }
  }
  // What the instruction demands of shapes, else it faults.
  template <int kC, int kA, int kB>
  static void CheckShapes() {
    ASSERT_EQ(tiles[kC].rows, tiles[kA].rows);
    ASSERT_EQ(tiles[kC].bytes, tiles[kB].bytes);
    ASSERT_EQ(tiles[kA].bytes, 4 * tiles[kB].rows);
  }
  // TDPBSUD: per output, four products of signed and unsigned bytes are added at a time.
  template <int kC, int kA, int kB>
  static void MultiplyInt8() {
    CheckShapes<kC, kA, kB>();
    for (int r = 0; r < tiles[kC].rows; ++r) {
      const auto* a = reinterpret_cast<const int8_t*>(tiles[kA].data[r]);
      auto* c = reinterpret_cast<int32_t*>(tiles[kC].data[r]);
      for (int quad = 0; quad < tiles[kB].rows; ++quad) {
        const auto* b = reinterpret_cast<const uint8_t*>(tiles[kB].data[quad]);
        for (int n = 0; n < 16; ++n) {
          for (int i = 0; i < 4; ++i) c[n] += int32_t{a[4 * quad + i]} * int32_t{b[4 * n + i]};
        }
      }
    }
  }
  template <int kC, int kA, int kB>
  static void MultiplyBf16() {
    CheckShapes<kC, kA, kB>();
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

template <class Runner>
void OnTiles(const GemmTask& task) {
  TileLoop<Runner>(task).Run();
}
constexpr Variant<GemmFn> kEmulated{"amx_on_emulated_tiles", CpuIsa::kReference, AnyCpu,
                                    OnTiles<Bf16OnTiles<EmulatedTiles>>};
constexpr Variant<GemmFn> kEmulatedInt8{"amx_on_emulated_tiles", CpuIsa::kReference, AnyCpu,
                                        OnTiles<IntOnTiles<EmulatedTiles, PortableScale, 8>>};
constexpr Variant<GemmFn> kEmulatedInt4{"amx_on_emulated_tiles", CpuIsa::kReference, AnyCpu,
                                        OnTiles<IntOnTiles<EmulatedTiles, PortableScale, 4>>};

PackedMatrix Pack(const std::vector<float>& w, int64_t n, int64_t k, KernelContext& ctx) {
  const MatrixView view{w.data(), Dtype::kFloat32, n, k, k};
  return *PackedMatrix::Pack({&view, 1}, Dtype::kBFloat16, ctx);
}

TEST(GemmOnTilesTest, MatchesTheReferenceAtEveryRowCountAndPanelTail) {
  KernelContext ctx(2);
  constexpr int64_t kK = 70;
  for (const int64_t n : {1, 16, 33, 150}) {
    const std::vector<float> w = RandomFloats(n * kK, 1);
    const std::vector<float> bias = RandomFloats(n, 2);
    const PackedMatrix packed = Pack(w, n, kK, ctx);
    for (int64_t m = 1; m <= 70; ++m) {
      const std::vector<float> x = RandomFloats(m * kK, 3);
      std::vector<float> expected(m * n), y(m * n);
      GemmArgs args{.x = x.data(),
                    .x_stride = kK,
                    .w = &packed,
                    .bias = m % 2 == 0 ? bias.data() : nullptr,
                    .y = expected.data(),
                    .y_stride = n,
                    .m = m};
      GemmWith(GemmVariants(Dtype::kBFloat16).front(), args, ctx);
      args.y = y.data();
      GemmWith(kEmulated, args, ctx);
      // 70 terms of magnitude below 4 * 4, each rounded once or twice.
      for (int64_t i = 0; i < m * n; ++i) {
        ASSERT_NEAR(y[i], expected[i], 72 * 72 * 16 * kFloatEps) << "m " << m << " n " << n;
      }
    }
  }
}

TEST(GemmOnTilesTest, RowIsBitIdenticalAloneAndInAnyBatch) {
  KernelContext ctx(2);
  constexpr int64_t kN = 100, kK = 96, kRows = 70;
  const std::vector<float> x = RandomFloats(kRows * kK, 4);
  const PackedMatrix packed = Pack(RandomFloats(kN * kK, 5), kN, kK, ctx);
  std::vector<float> alone(kRows * kN);
  for (int64_t r = 0; r < kRows; ++r) {
    GemmWith(kEmulated,
             {.x = &x[r * kK],
              .x_stride = kK,
              .w = &packed,
              .y = &alone[r * kN],
              .y_stride = kN,
              .m = 1},
             ctx);
  }
  for (int64_t m = 2; m <= kRows; ++m) {
    std::vector<float> y(m * kN);
    GemmWith(kEmulated,
             {.x = x.data(), .x_stride = kK, .w = &packed, .y = y.data(), .y_stride = kN, .m = m},
             ctx);
    ASSERT_EQ(std::memcmp(y.data(), alone.data(), y.size() * sizeof(float)), 0) << "m " << m;
  }
}

// The depth is cut into chunks where there are several row tiles.
TEST(GemmOnTilesTest, ChunksOfDepthChangeNothing) {
  KernelContext ctx(1);
  constexpr int64_t kN = 70, kK = 700, kRows = 33;
  const std::vector<float> x = RandomFloats(kRows * kK, 6);
  const PackedMatrix packed = Pack(RandomFloats(kN * kK, 7), kN, kK, ctx);
  std::vector<float> together(kRows * kN), alone(kRows * kN);
  GemmArgs args{.x = x.data(),
                .x_stride = kK,
                .w = &packed,
                .y = together.data(),
                .y_stride = kN,
                .m = kRows};
  GemmWith(kEmulated, args, ctx);
  for (int64_t r = 0; r < kRows; ++r) {
    args.x = &x[r * kK];
    args.y = &alone[r * kN];
    args.m = 1;
    GemmWith(kEmulated, args, ctx);
  }
  EXPECT_EQ(std::memcmp(together.data(), alone.data(), alone.size() * sizeof(float)), 0);
}

TEST(GemmOnTilesTest, IntegerProductsHaveTheBitsOfTheReference) {
  KernelContext ctx(2);
  for (const int bits : {4, 8}) {
    for (const int64_t group : {16, 32, 48, 64, 192, 1152}) {
      for (const Grid grid : {Grid::kHalfNoOffset, Grid::kHalfZeroPoint, Grid::kFloatOffset}) {
        const TestWeights w = MakeTestWeights(85, group == 1152 ? 1152 : 192, group, bits, grid, 8);
        const QuantizedMatrixView view = w.view();
        const PackedMatrix packed = *PackedMatrix::PackQuantized({&view, 1}, ctx);
        const std::vector<float> bias = RandomFloats(w.n, 9);
        for (const int64_t m : {1, 16, 19}) {
          const std::vector<float> x = RandomFloats(m * w.k, 10);
          std::vector<float> expected(m * w.n), y(m * w.n);
          GemmArgs args{.x = x.data(),
                        .x_stride = w.k,
                        .w = &packed,
                        .bias = m == 19 ? bias.data() : nullptr,
                        .y = expected.data(),
                        .y_stride = w.n,
                        .m = m};
          GemmWith(GemmVariants(WeightFormat::kInt8).front(), args, ctx);
          args.y = y.data();
          GemmWith(bits == 8 ? kEmulatedInt8 : kEmulatedInt4, args, ctx);
          ASSERT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)), 0)
              << "bits " << bits << " group " << group << " m " << m;
        }
      }
    }
  }
}

}  // namespace
}  // namespace oneai::kernels
