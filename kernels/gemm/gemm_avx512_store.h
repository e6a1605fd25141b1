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
ONEAI_INLINE void BeginSums(const TileWork& work, __m512 (&sum)[kRows][kPanels]) {
  ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
    ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
      sum[r][p] = work.first ? _mm512_setzero_ps()
                             : _mm512_load_ps(work.carry + r * kBlockOutputs + p * 16);
    }
  }
}

template <int kRows, int kPanels>
ONEAI_INLINE void LoadCarry(const float* carry, __m512 (&sum)[kRows][kPanels]) {
  ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
    ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
      sum[r][p] = _mm512_load_ps(carry + r * kBlockOutputs + p * 16);
    }
  }
}

template <int kRows, int kPanels>
ONEAI_INLINE void StoreCarry(const TileWork& work, const __m512 (&sum)[kRows][kPanels]) {
  ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
    ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
      _mm512_store_ps(work.carry + r * kBlockOutputs + p * 16, sum[r][p]);
    }
  }
}

// Asks for the lines that a tile's outputs will be stored to, in time for the end of the tile: they
// are in no near cache if there are many rows, and stores that wait for memory hold up those of the
// next tile.
template <int kRows, int kPanels>
ONEAI_INLINE void AskForOutputs(const GemmTask& task, const TileWork& work) {
  const float* y = task.y + work.row * task.y_stride + work.panel * PackedMatrix::kPanelOutputs;
  ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
    ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
      __asm__ volatile("prefetchw %0" : : "m"(y[r * task.y_stride + p * 16]));
    }
  }
}

// Where outputs of one panel go, with the bias if there is one. Only those that exist are stored.
class OutputPanel {
 public:
  ONEAI_INLINE OutputPanel(const GemmTask& task, const TileWork& work, int p)
      : stride_(task.y_stride),
        has_bias_(task.bias != nullptr),
        exists_(static_cast<__mmask16>((1u << PanelOutputs(task, work.panel + p)) - 1u)) {
    const int64_t n = (work.panel + p) * PackedMatrix::kPanelOutputs;
    y_ = task.y + work.row * stride_ + n;
    bias_ = has_bias_ ? _mm512_maskz_loadu_ps(exists_, task.bias + n) : _mm512_setzero_ps();
  }

  ONEAI_INLINE void Store(int64_t r, __m512 value) const {
    if (has_bias_) value = _mm512_add_ps(value, bias_);
    if (exists_ == 0xffff) {
      _mm512_storeu_ps(y_ + r * stride_, value);
    } else {
      _mm512_mask_storeu_ps(y_ + r * stride_, exists_, value);
    }
  }

 private:
  const int64_t stride_;
  const bool has_bias_;
  const __mmask16 exists_;
  float* y_;
  __m512 bias_;
};

template <int kRows, int kPanels>
ONEAI_INLINE void StoreOutputs(const GemmTask& task, const TileWork& work,
                               const __m512 (&sum)[kRows][kPanels]) {
  ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
    const OutputPanel panel(task, work, p);
    ONEAI_UNROLL for (int r = 0; r < kRows; ++r) panel.Store(r, sum[r][p]);
  }
}

}  // namespace
}  // namespace oneai::kernels
