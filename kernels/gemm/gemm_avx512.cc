// Idea: 6 rows x 4 panels (6 x 64 outputs) live in 24 registers; each step loads 4 registers of w
// and broadcasts 6 values of x, so loads stay below the two per cycle that the core can do. With
// one row the same loop streams w at the speed of memory. The order of accumulation is k = 0, 1, 2,
// ... for every output, whatever the tile's shape. Bottleneck: the FMA units for many rows, DRAM
// for few. Measured: benchmarks/kernels/gemm_bench.
#include <immintrin.h>

#include "kernels/gemm/gemm_tiling.h"
#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

constexpr int64_t kTileDepth = 16;  // k of a tile of float32

template <int kRows, int kPanels>
struct F32Tile {
  static void Run(const GemmTask& task, int64_t row, int64_t panel, const PrefetchPlan& prefetch) {
    const float* x[kRows];
    for (int r = 0; r < kRows; ++r) {
      x[r] = static_cast<const float*>(task.x) + (row + r) * task.x_stride;
    }
    TileStream w[kPanels];
    for (int p = 0; p < kPanels; ++p) w[p] = StreamOf(task, panel + p);
    __m512 sum[kRows][kPanels];
    for (int r = 0; r < kRows; ++r) {
      for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_setzero_ps();
    }
    const int64_t depth = task.w->k();
    for (int64_t k = 0; k < depth; k += kTileDepth) {
      const int64_t rows = depth - k < kTileDepth ? depth - k : kTileDepth;
      if (prefetch.Covers(k / kTileDepth)) {
        for (int p = 0; p < kPanels; ++p) PrefetchTile(w[p].data + prefetch.bytes_ahead);
      }
      for (int64_t i = 0; i < rows; ++i) {
        __m512 b[kPanels];
        for (int p = 0; p < kPanels; ++p) b[p] = _mm512_load_ps(w[p].data + i * 64);
        for (int r = 0; r < kRows; ++r) {
          const __m512 a = _mm512_set1_ps(x[r][k + i]);
          for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_fmadd_ps(a, b[p], sum[r][p]);
        }
      }
      for (int p = 0; p < kPanels; ++p) w[p].data += w[p].step;
    }
    for (int p = 0; p < kPanels; ++p) {
      const __mmask16 mask = static_cast<__mmask16>((1u << PanelOutputs(task, panel + p)) - 1u);
      const int64_t n = (panel + p) * PackedMatrix::kPanelOutputs;
      const __m512 bias =
          task.bias != nullptr ? _mm512_maskz_loadu_ps(mask, task.bias + n) : _mm512_setzero_ps();
      for (int r = 0; r < kRows; ++r) {
        float* y = task.y + (row + r) * task.y_stride + n;
        _mm512_mask_storeu_ps(y, mask, _mm512_add_ps(sum[r][p], bias));
      }
    }
  }
};

}  // namespace

void GemmAvx512F32(const GemmTask& task) { ForEachTile<F32Tile, 6, 4>(task); }

}  // namespace oneai::kernels
