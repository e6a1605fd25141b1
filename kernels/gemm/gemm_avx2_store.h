// Where an AVX2 tile's sums begin and end: in memory (TileWork::carry), because 16 registers hold
// those of one panel only. Include only from files that are compiled for AVX2.
#pragma once

#include <immintrin.h>

#include "kernels/gemm/gemm_tiling.h"

namespace oneai::kernels {
namespace {

// Sets the sums of kRows rows and kPanels panels to zero: 32-bit words of either kind.
template <int kRows, int kPanels, typename Word>
ONEAI_INLINE void ClearSums(Word* sums) {
  for (int r = 0; r < kRows; ++r) {
    for (int i = 0; i < kPanels * 16; i += 8) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums + r * kBlockOutputs + i),
                         _mm256_setzero_si256());
    }
  }
}

// Adds the bias, if there is one, to complete sums and stores the outputs that exist.
template <int kRows, int kPanels>
inline void StoreSums(const GemmTask& task, const TileWork& work) {
  for (int p = 0; p < kPanels; ++p) {
    const int64_t n = (work.panel + p) * PackedMatrix::kPanelOutputs;
    const int outputs = PanelOutputs(task, work.panel + p);
    for (int r = 0; r < kRows; ++r) {
      const float* sums = work.carry + r * kBlockOutputs + p * 16;
      float* y = task.y + (work.row + r) * task.y_stride + n;
      for (int i = 0; i < outputs; ++i) {
        y[i] = task.bias != nullptr ? sums[i] + task.bias[n + i] : sums[i];
      }
    }
  }
}

}  // namespace
}  // namespace oneai::kernels
