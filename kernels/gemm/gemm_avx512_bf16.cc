// Idea: as gemm_avx512.cc, but vdpbf16ps multiplies a pair of bf16 per lane: half the bytes of w
// and twice the work per instruction. x comes in groups of 32 k (round_rows.h), so the broadcasts
// of 6 rows share cache lines' neighbourhood. Bottleneck: the dot product unit for many rows, DRAM
// for few. Measured: benchmarks/kernels/gemm_bench.
#include <immintrin.h>

#include "kernels/gemm/gemm_tiling.h"
#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

template <int kRows, int kPanels>
struct Bf16Tile {
  static void Run(const GemmTask& task, int64_t row, int64_t panel, const PrefetchPlan& prefetch) {
    const int32_t* x[kRows];  // pairs of bf16
    int64_t step[kRows];
    for (int r = 0; r < kRows; ++r) LocatePairs(task, row + r, x[r], step[r]);
    TileStream w[kPanels];
    for (int p = 0; p < kPanels; ++p) w[p] = StreamOf(task, panel + p);
    __m512 sum[kRows][kPanels];
    for (int r = 0; r < kRows; ++r) {
      for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_setzero_ps();
    }
    const int64_t steps = task.w->padded_k() / kDepthStep;
    for (int64_t s = 0; s < steps; ++s) {
      if (prefetch.Covers(s)) {
        for (int p = 0; p < kPanels; ++p) PrefetchTile(w[p].data + prefetch.bytes_ahead);
      }
      for (int pair = 0; pair < kDepthStep / 2; ++pair) {
        __m512bh b[kPanels];
        for (int p = 0; p < kPanels; ++p) {
          b[p] = reinterpret_cast<__m512bh>(_mm512_load_si512(w[p].data + pair * 64));
        }
        for (int r = 0; r < kRows; ++r) {
          const __m512bh a = reinterpret_cast<__m512bh>(_mm512_set1_epi32(x[r][pair]));
          for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_dpbf16_ps(sum[r][p], a, b[p]);
        }
      }
      for (int p = 0; p < kPanels; ++p) w[p].data += w[p].step;
      for (int r = 0; r < kRows; ++r) x[r] += step[r];
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

void GemmAvx512Bf16(const GemmTask& task) { ForEachTile<Bf16Tile, 6, 4>(task); }

}  // namespace oneai::kernels
