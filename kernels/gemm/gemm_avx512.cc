// Idea: as gemm_avx512_bf16.cc with float32 multiply-adds. The order of accumulation is k = 0, 1,
// 2,
// ... for every output, whatever the tile's shape. Bottleneck: the FMA units for many rows, DRAM
// for few. Measured: benchmarks/kernels/gemm_bench.
#include <immintrin.h>

#include "kernels/gemm/gemm_avx512_store.h"
#include "kernels/gemm/gemm_tiling.h"
#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

constexpr int64_t kTileDepth = 16;  // k of a tile of float32

template <int kRows, int kPanels>
struct F32Tile {
  static void Run(const GemmTask& task, const TileWork& work) {
    const float* x = static_cast<const float*>(task.x) + work.row * task.x_stride;
    const TileStream stream = StreamOf(task, work.panel);
    const std::byte* w = stream.data + work.k_begin / kTileDepth * stream.step;
    Stream ahead(work);
    __m512 sum[kRows][kPanels];
    BeginSums(work, sum);
    if (work.last) AskForOutputs<kRows, kPanels>(task, work);
    for (int64_t k = work.k_begin; k < work.k_end; k += kTileDepth, w += stream.step) {
      ahead.Step(w);
      const int64_t lines = std::min(work.k_end - k, kTileDepth);
      for (int64_t i = 0; i < lines; ++i) {
        const std::byte* line = w + i * kLineBytes;
        ahead.Ask<kPanels>(i);
        __m512 b[kPanels];
        ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) b[p] = _mm512_load_ps(line + p * kTileBytes);
        ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
          const __m512 a = _mm512_set1_ps(x[r * task.x_stride + k + i]);
          ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) sum[r][p] =
              _mm512_fmadd_ps(a, b[p], sum[r][p]);
        }
      }
    }
    if (work.last) {
      StoreOutputs(task, work, sum);
    } else {
      StoreCarry(work, sum);
    }
  }
};

}  // namespace

void GemmAvx512F32(const GemmTask& task) { ForEachWideTile<F32Tile>(task); }

}  // namespace oneai::kernels
