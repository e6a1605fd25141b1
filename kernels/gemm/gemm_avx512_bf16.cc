// Idea: up to 6 rows x 4 panels (6 x 64 outputs) live in 24 registers; vdpbf16ps multiplies a pair
// of bf16 per lane; each step loads 4 registers of w and broadcasts 6 pairs of x, below the two
// loads per cycle that the core can do. Tiles stay within a group of 16 rows and a block of 4
// panels, so two pointers reach everything. Bottleneck: the dot product unit for many rows, DRAM
// for few. Measured: benchmarks/kernels/gemm_bench.
#include <immintrin.h>

#include "kernels/gemm/gemm_avx512_store.h"
#include "kernels/gemm/gemm_tiling.h"
#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

template <int kRows, int kPanels>
struct Bf16Tile {
  static void Run(const GemmTask& task, const TileWork& work) {
    const PairRows rows = LocatePairs(task, work.row);
    const TileStream stream = StreamOf(task, work.panel);
    const int32_t* x = rows.data + work.k_begin / kDepthStep * rows.step;
    const std::byte* w = stream.data + work.k_begin / kDepthStep * stream.step;
    Stream ahead(work);
    __m512 sum[kRows][kPanels];
    BeginSums(work, sum);
    if (work.last) AskForOutputs<kRows, kPanels>(task, work);
    // Rows of x come from the second or third level, 64 bytes here and there: those of the next
    // tile that has this one's place in its group of rows are asked for now.
    const int64_t next_group = task.w->padded_k() / kDepthStep * rows.step;
    const bool has_next_group = work.row + kRowGroup < task.row_end;
    for (int64_t k = work.k_begin; k < work.k_end; k += kDepthStep) {
      ahead.Step(w);
      if (has_next_group) {
        ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
          __builtin_prefetch(x + next_group + r * (kDepthStep / 2));
        }
      }
#pragma GCC unroll 4
      for (int pair = 0; pair < kDepthStep / 2; ++pair) {
        const std::byte* line = w + pair * kLineBytes;
        ahead.Ask<kPanels>(pair);
        __m512bh b[kPanels];
        ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
          b[p] = reinterpret_cast<__m512bh>(_mm512_load_si512(line + p * kTileBytes));
        }
        ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
          const __m512bh a =
              reinterpret_cast<__m512bh>(_mm512_set1_epi32(x[r * (kDepthStep / 2) + pair]));
          ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) sum[r][p] =
              _mm512_dpbf16_ps(sum[r][p], a, b[p]);
        }
      }
      w += stream.step;
      x += rows.step;
    }
    if (work.last) {
      StoreOutputs(task, work, sum);
    } else {
      StoreCarry(work, sum);
    }
  }
};

}  // namespace

void GemmAvx512Bf16(const GemmTask& task) { ForEachWideTile<Bf16Tile>(task); }

}  // namespace oneai::kernels
