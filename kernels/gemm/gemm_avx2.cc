// Idea: the classical 6 rows x 16 outputs of float32 in 12 of 16 registers; bf16 weights are
// widened in registers (a shift for the odd, a mask for the even k), 4 rows at a time, so memory
// still moves bf16. Bottleneck: the FMA units for many rows, DRAM for few. Measured:
// benchmarks/kernels/gemm_bench.
#include <immintrin.h>

#include "kernels/gemm/gemm_avx2_store.h"
#include "kernels/gemm/gemm_tiling.h"
#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

constexpr int64_t kTileDepth = 16;  // k of a tile of float32

// Sums of 16 outputs per row: low and high half of a panel.
template <int kRows>
struct Sums {
  __m256 low[kRows], high[kRows];

  inline __attribute__((always_inline)) void Begin(const TileWork& work) {
    for (int r = 0; r < kRows; ++r) {
      const float* carry = work.carry + r * kBlockOutputs;
      low[r] = work.first ? _mm256_setzero_ps() : _mm256_load_ps(carry);
      high[r] = work.first ? _mm256_setzero_ps() : _mm256_load_ps(carry + 8);
    }
  }

  // Rests the sums in the carry; if they are complete, adds the bias and stores what exists.
  inline __attribute__((always_inline)) void End(const GemmTask& task, const TileWork& work) const {
    for (int r = 0; r < kRows; ++r) {
      float* carry = work.carry + r * kBlockOutputs;
      _mm256_store_ps(carry, low[r]);
      _mm256_store_ps(carry + 8, high[r]);
      if (work.last) StorePanel(task, work.row + r, work.panel, carry);
    }
  }
};

template <int kRows, int kPanels>
struct F32Tile {
  static_assert(kPanels == 1);
  static void Run(const GemmTask& task, const TileWork& work) {
    const float* x = static_cast<const float*>(task.x) + work.row * task.x_stride;
    const TileStream stream = StreamOf(task, work.panel);
    const std::byte* w = stream.data + work.k_begin / kTileDepth * stream.step;
    const Stream ahead(work);
    Sums<kRows> sums;
    sums.Begin(work);
    for (int64_t k = work.k_begin; k < work.k_end; k += kTileDepth, w += stream.step) {
      const int64_t lines = std::min(work.k_end - k, kTileDepth);
      for (int64_t i = 0; i < lines; ++i) {
        const auto* line = reinterpret_cast<const float*>(w + i * kLineBytes);
        ahead.Ask<1>(w, i);
        const __m256 b_low = _mm256_load_ps(line);
        const __m256 b_high = _mm256_load_ps(line + 8);
        for (int r = 0; r < kRows; ++r) {
          const __m256 a = _mm256_broadcast_ss(x + r * task.x_stride + k + i);
          sums.low[r] = _mm256_fmadd_ps(a, b_low, sums.low[r]);
          sums.high[r] = _mm256_fmadd_ps(a, b_high, sums.high[r]);
        }
      }
    }
    sums.End(task, work);
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
  static void Run(const GemmTask& task, const TileWork& work) {
    const PairRows rows = LocatePairs(task, work.row);
    const TileStream stream = StreamOf(task, work.panel);
    const int32_t* x = rows.data + work.k_begin / kDepthStep * rows.step;
    const std::byte* w = stream.data + work.k_begin / kDepthStep * stream.step;
    const Stream ahead(work);
    Sums<kRows> sums;
    sums.Begin(work);
    for (int64_t k = work.k_begin; k < work.k_end; k += kDepthStep, w += stream.step) {
      for (int pair = 0; pair < kDepthStep / 2; ++pair) {
        const auto* line = reinterpret_cast<const __m256i*>(w + pair * kLineBytes);
        ahead.Ask<1>(w, pair);
        const __m256i b_low = _mm256_load_si256(line);
        const __m256i b_high = _mm256_load_si256(line + 1);
        for (int r = 0; r < kRows; ++r) {
          const __m256i a = _mm256_set1_epi32(x[r * (kDepthStep / 2) + pair]);
          sums.low[r] = _mm256_fmadd_ps(Even(a), Even(b_low), sums.low[r]);
          sums.low[r] = _mm256_fmadd_ps(Odd(a), Odd(b_low), sums.low[r]);
          sums.high[r] = _mm256_fmadd_ps(Even(a), Even(b_high), sums.high[r]);
          sums.high[r] = _mm256_fmadd_ps(Odd(a), Odd(b_high), sums.high[r]);
        }
      }
      x += rows.step;
    }
    sums.End(task, work);
  }
};

}  // namespace

void GemmAvx2F32(const GemmTask& task) { ForEachTile<F32Tile, 6, 1>(task); }

void GemmAvx2Bf16(const GemmTask& task) { ForEachTile<Bf16Tile, 4, 1>(task); }

}  // namespace oneai::kernels
