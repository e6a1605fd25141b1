// Idea: the classical 6 rows x 16 outputs of float32 in 12 of 16 registers; bf16 weights are
// widened in registers (a shift for the odd, a mask for the even k), 4 rows at a time, so memory
// still moves bf16. Bottleneck: the FMA units for many rows, DRAM for few. Measured:
// benchmarks/kernels/gemm_bench.
#include <immintrin.h>

#include "kernels/gemm/gemm_tiling.h"
#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

// Adds the bias and stores 16 outputs of a row, or as many as exist.
inline __attribute__((always_inline)) void Store(const GemmTask& task, int64_t row, int64_t panel,
                                                 __m256 low, __m256 high) {
  const int64_t n = panel * PackedMatrix::kPanelOutputs;
  const int outputs = PanelOutputs(task, panel);
  alignas(32) float values[16];
  _mm256_store_ps(values, low);
  _mm256_store_ps(values + 8, high);
  float* y = task.y + row * task.y_stride + n;
  for (int i = 0; i < outputs; ++i) {
    y[i] = task.bias != nullptr ? values[i] + task.bias[n + i] : values[i];
  }
}

constexpr int64_t kTileDepth = 16;  // k of a tile of float32

template <int kRows, int kPanels>
struct F32Tile {
  static_assert(kPanels == 1);
  static void Run(const GemmTask& task, int64_t row, int64_t panel, const PrefetchPlan&) {
    const float* x[kRows];
    for (int r = 0; r < kRows; ++r) {
      x[r] = static_cast<const float*>(task.x) + (row + r) * task.x_stride;
    }
    TileStream w = StreamOf(task, panel);
    __m256 low[kRows], high[kRows];
    for (int r = 0; r < kRows; ++r) low[r] = high[r] = _mm256_setzero_ps();
    const int64_t depth = task.w->k();
    for (int64_t k = 0; k < depth; k += kTileDepth, w.data += w.step) {
      const int64_t rows = depth - k < kTileDepth ? depth - k : kTileDepth;
      const auto* tile = reinterpret_cast<const float*>(w.data);
      for (int64_t i = 0; i < rows; ++i) {
        const __m256 b_low = _mm256_load_ps(tile + i * 16);
        const __m256 b_high = _mm256_load_ps(tile + i * 16 + 8);
        for (int r = 0; r < kRows; ++r) {
          const __m256 a = _mm256_broadcast_ss(x[r] + k + i);
          low[r] = _mm256_fmadd_ps(a, b_low, low[r]);
          high[r] = _mm256_fmadd_ps(a, b_high, high[r]);
        }
      }
    }
    for (int r = 0; r < kRows; ++r) Store(task, row + r, panel, low[r], high[r]);
  }
};

// The even (low half) and odd (high half) bf16 of every pair as float32.
inline __attribute__((always_inline)) __m256 Even(__m256i pairs) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}
inline __attribute__((always_inline)) __m256 Odd(__m256i pairs) {
  return _mm256_castsi256_ps(
      _mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
}

template <int kRows, int kPanels>
struct Bf16Tile {
  static_assert(kPanels == 1);
  static void Run(const GemmTask& task, int64_t row, int64_t panel, const PrefetchPlan&) {
    const int32_t* x[kRows];  // pairs of bf16
    int64_t step[kRows];
    for (int r = 0; r < kRows; ++r) LocatePairs(task, row + r, x[r], step[r]);
    TileStream w = StreamOf(task, panel);
    __m256 low[kRows], high[kRows];
    for (int r = 0; r < kRows; ++r) low[r] = high[r] = _mm256_setzero_ps();
    const int64_t steps = task.w->padded_k() / kDepthStep;
    for (int64_t s = 0; s < steps; ++s, w.data += w.step) {
      const auto* tile = reinterpret_cast<const __m256i*>(w.data);
      for (int pair = 0; pair < kDepthStep / 2; ++pair, tile += 2) {
        const __m256i b_low = _mm256_load_si256(tile);
        const __m256i b_high = _mm256_load_si256(tile + 1);
        for (int r = 0; r < kRows; ++r) {
          const __m256i a = _mm256_set1_epi32(x[r][pair]);
          low[r] = _mm256_fmadd_ps(Even(a), Even(b_low), low[r]);
          low[r] = _mm256_fmadd_ps(Odd(a), Odd(b_low), low[r]);
          high[r] = _mm256_fmadd_ps(Even(a), Even(b_high), high[r]);
          high[r] = _mm256_fmadd_ps(Odd(a), Odd(b_high), high[r]);
        }
      }
      for (int r = 0; r < kRows; ++r) x[r] += step[r];
    }
    for (int r = 0; r < kRows; ++r) Store(task, row + r, panel, low[r], high[r]);
  }
};

}  // namespace

void GemmAvx2F32(const GemmTask& task) { ForEachTile<F32Tile, 6, 1>(task); }

void GemmAvx2Bf16(const GemmTask& task) { ForEachTile<Bf16Tile, 4, 1>(task); }

}  // namespace oneai::kernels
