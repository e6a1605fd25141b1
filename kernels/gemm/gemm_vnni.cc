// Idea: vpdpbusd adds four products of an unsigned and a signed byte per lane. Weights are the
// unsigned side, so that int4 codes need no conversion but a mask and a shift; the + 128 of int8
// codes is taken off once per group. One register of int4 weights feeds two products. Sums are
// exact, so their order is free; the float32 part follows gemm.h. Bottleneck: the dot product unit
// for many rows, DRAM for few. Measured: benchmarks/kernels/gemm_bench.
#include <immintrin.h>

#include "kernels/gemm/gemm_avx512_scale.h"
#include "kernels/gemm/gemm_avx512_store.h"
#include "kernels/gemm/gemm_int_groups.h"
#include "kernels/gemm/gemm_variants.h"

// Loops over the sums of a tile must vanish early, or GCC 12 keeps the sums in memory.
#define ONEAI_UNROLL _Pragma("GCC unroll 8")

namespace oneai::kernels {
namespace {

// sum += products of unsigned w and signed x. Assembly, because GCC 12 copies every sum that it
// passes through the intrinsic when there are many.
inline __attribute__((always_inline)) void AddProducts(__m512i& sum, __m512i w, __m512i x) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x));
}

template <int kBits>
struct IntTiles {
  template <int kRows, int kPanels>
  struct Tile {
    static void Run(const GemmTask& task, const TileWork& work) {
      const int64_t tile_k = task.w->layout().tile_k;
      ForEachGroup(
          task, work,
          [tile_k](const GroupPiece& piece) {
            if (tile_k == kCodeStep) {
              Accumulate<kCodeStep>(piece);
            } else if (tile_k == 32) {
              Accumulate<32>(piece);
            } else {
              Accumulate<16>(piece);
            }
          },
          [&](int64_t group, const std::byte* group_data) {
            Avx512Scale::Run(task, work, kRows, kPanels, group, group_data);
          });
      if (!work.last) return;
      __m512 y[kRows][kPanels];
      LoadCarry(work.carry, y);
      StoreOutputs(task, work, y);
    }

    // A function of its own, so that all registers are for its sums.
    template <int kTileK>
    static __attribute__((noinline)) void Accumulate(const GroupPiece& piece) {
      constexpr int64_t kLines = kTileK * kBits / 32;  // 4 k each with int8, 8 k with int4
      constexpr int64_t kBytes = kLines * kLineBytes;
      __m512i sum[kRows][kPanels];
      ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
        ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_setzero_si512();
      }
      if (piece.continues) {
        ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
          ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
            sum[r][p] = _mm512_load_si512(piece.sums + r * kBlockOutputs + p * 16);
          }
        }
      }
      const std::byte* w = piece.w;
      const int64_t ahead = piece.ahead_bytes, w_step = piece.w_step;
      const uint32_t prefetch = piece.prefetch_lines;
      for (int64_t k = piece.k; k < piece.k_end; k += kTileK, w += w_step) {
        const int8_t* x = piece.CodesAt(k);
#pragma GCC unroll 2
        for (int64_t i = 0; i < kLines; ++i) {
          const std::byte* line = w + i * kLineBytes;
          if ((prefetch >> i & 1u) != 0) {
            for (int p = 0; p < kPanels; ++p) __builtin_prefetch(line + p * kBytes + ahead);
          }
          __m512i b[kPanels];
          for (int p = 0; p < kPanels; ++p) b[p] = _mm512_load_si512(line + p * kBytes);
          if constexpr (kBits == 8) {
            Add(b, x + i * 4, sum);
          } else {
            const __m512i mask = _mm512_set1_epi8(0x0f);
            __m512i low[kPanels];
            for (int p = 0; p < kPanels; ++p) low[p] = _mm512_and_si512(b[p], mask);
            Add(low, x + i * 8, sum);
            for (int p = 0; p < kPanels; ++p) {
              b[p] = _mm512_and_si512(_mm512_srli_epi16(b[p], 4), mask);
            }
            Add(b, x + i * 8 + 4, sum);
          }
        }
      }
      ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
        ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
          _mm512_store_si512(piece.sums + r * kBlockOutputs + p * 16, sum[r][p]);
        }
      }
    }

    static inline __attribute__((always_inline)) void Add(const __m512i (&b)[kPanels],
                                                          const int8_t* x,
                                                          __m512i (&sum)[kRows][kPanels]) {
      ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
        int32_t quad;
        __builtin_memcpy(&quad, x + r * kCodeStep, 4);
        const __m512i a = _mm512_set1_epi32(quad);
        ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) AddProducts(sum[r][p], b[p], a);
      }
    }
  };
};

template <int kRows, int kPanels>
using Int8Tile = IntTiles<8>::Tile<kRows, kPanels>;
template <int kRows, int kPanels>
using Int4Tile = IntTiles<4>::Tile<kRows, kPanels>;

}  // namespace

void GemmVnniInt8(const GemmTask& task) { ForEachTile<Int8Tile, 6, 4>(task); }

void GemmVnniInt4(const GemmTask& task) { ForEachTile<Int4Tile, 6, 4>(task); }

}  // namespace oneai::kernels
