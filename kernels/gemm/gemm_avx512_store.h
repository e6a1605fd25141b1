// Sums of an AVX-512 tile between chunks of depth and on their way out. Include only from files
// that are compiled for it.
#pragma once

#include <immintrin.h>

#include "kernels/gemm/gemm_tiling.h"

// Loops over the sums of a tile must vanish early, or GCC 12 keeps the sums in memory.
#define ONEAI_UNROLL _Pragma("GCC unroll 16")

namespace oneai::kernels {
namespace {

// Starts a tile's sums: at zero, or where the chunk before left them.
template <int kRows, int kPanels>
inline __attribute__((always_inline)) void BeginSums(const TileWork& work,
                                                     __m512 (&sum)[kRows][kPanels]) {
  ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
    ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
      sum[r][p] = work.first ? _mm512_setzero_ps()
                             : _mm512_load_ps(work.carry + r * kBlockOutputs + p * 16);
    }
  }
}

template <int kRows, int kPanels>
inline __attribute__((always_inline)) void LoadCarry(const float* carry,
                                                     __m512 (&sum)[kRows][kPanels]) {
  ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
    ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) sum[r][p] =
        _mm512_load_ps(carry + r * kBlockOutputs + p * 16);
  }
}

template <int kRows, int kPanels>
inline __attribute__((always_inline)) void StoreCarry(const TileWork& work,
                                                      const __m512 (&sum)[kRows][kPanels]) {
  ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
    ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
      _mm512_store_ps(work.carry + r * kBlockOutputs + p * 16, sum[r][p]);
    }
  }
}

// Adds the bias, if there is one, and stores the outputs that exist.
template <int kRows, int kPanels>
inline __attribute__((always_inline)) void StoreOutputs(const GemmTask& task, const TileWork& work,
                                                        const __m512 (&sum)[kRows][kPanels]) {
  ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
    const __mmask16 mask = static_cast<__mmask16>((1u << PanelOutputs(task, work.panel + p)) - 1u);
    const int64_t n = (work.panel + p) * PackedMatrix::kPanelOutputs;
    ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
      __m512 value = sum[r][p];
      if (task.bias != nullptr) {
        value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, task.bias + n));
      }
      _mm512_mask_storeu_ps(task.y + (work.row + r) * task.y_stride + n, mask, value);
    }
  }
}

}  // namespace
}  // namespace oneai::kernels
