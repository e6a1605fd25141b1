// Idea: up to 6 rows x 16 outputs of float32 in 12 of 16 registers. A tile of four panels walks w
// in the order of memory: one KiB of each panel in turn, sums resting in the first cache meanwhile.
// bf16 weights are widened in registers (a shift for the even, a mask for the odd k), x once per
// step, so memory still moves bf16. Bottleneck: the FMA units for many rows, DRAM for few.
// Measured: benchmarks/kernels/gemm_bench.
#include <immintrin.h>

#include "kernels/gemm/gemm_avx2_store.h"
#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

constexpr int64_t kF32TileDepth = 16;

// Sums of one panel, low and high half, from the carry and back.
template <int kRows>
struct Sums {
  __m256 low[kRows], high[kRows];

  explicit ONEAI_INLINE Sums(const float* carry) {
    for (int r = 0; r < kRows; ++r) {
      low[r] = _mm256_load_ps(carry + r * kBlockOutputs);
      high[r] = _mm256_load_ps(carry + r * kBlockOutputs + 8);
    }
  }
  ONEAI_INLINE void Add(int r, __m256 x, __m256 w_low, __m256 w_high) {
    low[r] = _mm256_fmadd_ps(x, w_low, low[r]);
    high[r] = _mm256_fmadd_ps(x, w_high, high[r]);
  }
  ONEAI_INLINE void Store(float* carry) const {
    for (int r = 0; r < kRows; ++r) {
      _mm256_store_ps(carry + r * kBlockOutputs, low[r]);
      _mm256_store_ps(carry + r * kBlockOutputs + 8, high[r]);
    }
  }
};

template <int kRows, int kPanels>
struct F32Tile {
  static void Run(const GemmTask& task, const TileWork& work) {
    const float* x = static_cast<const float*>(task.x) + work.row * task.x_stride;
    const TileStream stream = StreamOf(task, work.panel);
    const std::byte* w = stream.data + work.k_begin / kF32TileDepth * stream.step;
    Stream ahead(work);
    if (work.first) ClearSums<kRows, kPanels>(work.carry);
    for (int64_t k = work.k_begin; k < work.k_end; k += kF32TileDepth, w += stream.step) {
      const int64_t lines = std::min(work.k_end - k, kF32TileDepth);
      ahead.Step(w);
      for (int p = 0; p < kPanels; ++p) {
        AddPanel(w + p * kTileBytes, lines, x + k, task.x_stride, ahead, work.carry + p * 16);
      }
    }
    if (work.last) StoreSums<kRows, kPanels>(task, work);
  }

  static ONEAI_INLINE void AddPanel(const std::byte* w, int64_t lines, const float* x,
                                    int64_t x_stride, Stream& ahead, float* carry) {
    Sums<kRows> sums(carry);
    for (int64_t i = 0; i < lines; ++i) {
      const auto* line = reinterpret_cast<const float*>(w + i * kLineBytes);
      ahead.Ask<1>(i);
      const __m256 low = _mm256_load_ps(line), high = _mm256_load_ps(line + 8);
      for (int r = 0; r < kRows; ++r) {
        sums.Add(r, _mm256_broadcast_ss(x + r * x_stride + i), low, high);
      }
    }
    sums.Store(carry);
  }
};

// The even and the odd bf16 of every pair as float32.
ONEAI_INLINE __m256 Even(__m256i pairs) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}
ONEAI_INLINE __m256 Odd(__m256i pairs) {
  return _mm256_castsi256_ps(
      _mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
}

template <int kRows, int kPanels>
struct Bf16Tile {
  static constexpr int kPairs = kDepthStep / 2;

  // One step of x, widened.
  struct alignas(32) WideRows {
    float even[kRows][kPairs], odd[kRows][kPairs];

    explicit ONEAI_INLINE WideRows(const int32_t* pairs) {
      for (int r = 0; r < kRows; ++r) {
        for (int i = 0; i < kPairs; i += 8) {
          const __m256i eight =
              _mm256_loadu_si256(reinterpret_cast<const __m256i*>(pairs + r * kPairs + i));
          _mm256_store_ps(even[r] + i, Even(eight));
          _mm256_store_ps(odd[r] + i, Odd(eight));
        }
      }
    }
  };

  static void Run(const GemmTask& task, const TileWork& work) {
    const PairRows rows = LocatePairs(task, work.row);
    const TileStream stream = StreamOf(task, work.panel);
    const int32_t* x = rows.data + work.k_begin / kDepthStep * rows.step;
    const std::byte* w = stream.data + work.k_begin / kDepthStep * stream.step;
    Stream ahead(work);
    if (work.first) ClearSums<kRows, kPanels>(work.carry);
    for (int64_t k = work.k_begin; k < work.k_end; k += kDepthStep) {
      const WideRows wide(x);
      ahead.Step(w);
      for (int p = 0; p < kPanels; ++p) {
        AddPanel(w + p * kTileBytes, wide, ahead, work.carry + p * 16);
      }
      x += rows.step;
      w += stream.step;
    }
    if (work.last) StoreSums<kRows, kPanels>(task, work);
  }

  static ONEAI_INLINE void AddPanel(const std::byte* w, const WideRows& x, Stream& ahead,
                                    float* carry) {
    Sums<kRows> sums(carry);
    for (int i = 0; i < kPairs; ++i) {
      const auto* line = reinterpret_cast<const __m256i*>(w + i * kLineBytes);
      ahead.Ask<1>(i);
      const __m256 even_low = Even(_mm256_load_si256(line));
      const __m256 even_high = Even(_mm256_load_si256(line + 1));
      for (int r = 0; r < kRows; ++r) {
        sums.Add(r, _mm256_broadcast_ss(&x.even[r][i]), even_low, even_high);
      }
      __asm__("" : "+r"(line));  // Read again: registers are scarcer than loads.
      const __m256 odd_low = Odd(_mm256_load_si256(line));
      const __m256 odd_high = Odd(_mm256_load_si256(line + 1));
      for (int r = 0; r < kRows; ++r) {
        sums.Add(r, _mm256_broadcast_ss(&x.odd[r][i]), odd_low, odd_high);
      }
    }
    sums.Store(carry);
  }
};

}  // namespace

void GemmAvx2F32(const GemmTask& task) { ForEachTile<F32Tile, 6, 4>(task); }

void GemmAvx2Bf16(const GemmTask& task) { ForEachTile<Bf16Tile, 6, 4>(task); }

}  // namespace oneai::kernels
