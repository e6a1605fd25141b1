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
      if (work.first) Avx512Scale::Begin(work, kRows, kPanels);
      ForEachPiece(task, work, [&](const GroupPiece& piece) {
        if (tile_k == kCodeStep) {
          RunPiece<kCodeStep>(task, work, piece);
        } else if (tile_k == 32) {
          RunPiece<32>(task, work, piece);
        } else {
          RunPiece<16>(task, work, piece);
        }
      });
      if (!work.last) return;
      __m512 y[kRows][kPanels];
      LoadCarry(work.carry, y);
      StoreOutputs(task, work, y);
    }

    // A function of its own, so that all registers are for its sums.
    template <int kTileK>
    static __attribute__((noinline)) void RunPiece(const GemmTask& task, const TileWork& work,
                                                   const GroupPiece& piece) {
      __m512i sum[kRows][kPanels];
      ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
        ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_setzero_si512();
      }
      // Not by masks: a load that a mask turns off is slow where no page was touched yet.
      if (piece.continues) {
        ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
          ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
            sum[r][p] = _mm512_load_si512(piece.sums + r * kBlockOutputs + p * 16);
          }
        }
      }
      const std::byte* w = piece.w;
      const int64_t w_step = piece.w_step, k_end = piece.k_end;
      Stream ahead(piece);
      for (int64_t k = piece.k; k < k_end; k += kTileK, w += w_step) {
        ahead.Step(w);
        AddTile<kTileK>(w, piece.CodesAt(k), ahead, sum);
      }
      if (piece.completes) {
        Avx512Scale(task, work, piece.group, piece.group_data).template AddTile<kBits>(sum);
        return;
      }
      ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
        ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
          _mm512_store_si512(piece.sums + r * kBlockOutputs + p * 16, sum[r][p]);
        }
      }
    }

    template <int kTileK>
    static ONEAI_INLINE void AddTile(const std::byte* w, const int8_t* x, Stream& ahead,
                                     __m512i (&sum)[kRows][kPanels]) {
      constexpr int64_t kLines = kTileK * kBits / 32;  // 4 k each with int8, 8 k with int4
      constexpr int64_t kBytes = kLines * kLineBytes;
#pragma GCC unroll 4
      for (int64_t i = 0; i < kLines; ++i) {
        const std::byte* line = w + i * kLineBytes;
        ahead.Ask<kPanels>(i);
        __m512i b[kPanels];
        ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) b[p] = _mm512_load_si512(line + p * kBytes);
        if constexpr (kBits == 8) {
          Add(b, x + i * 4, sum);
        } else {
          const __m512i mask = _mm512_set1_epi8(0x0f);
          ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) b[p] = _mm512_and_si512(b[p], mask);
          Add(b, x + i * 8, sum);
          // Read again: registers are scarcer than loads.
          __asm__("" : "+r"(line));
          ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) b[p] =
              _mm512_load_si512(line + p * kBytes);
          ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
            b[p] = _mm512_and_si512(_mm512_srli_epi16(b[p], 4), mask);
          }
          Add(b, x + i * 8 + 4, sum);
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

void GemmVnniInt8(const GemmTask& task) { ForEachWideTile<Int8Tile>(task); }

void GemmVnniInt4(const GemmTask& task) { ForEachWideTile<Int4Tile>(task); }

}  // namespace oneai::kernels
