// Complete sums of an AVX2 tile on their way out.
#pragma once

#include "kernels/gemm/gemm_tiling.h"

namespace oneai::kernels {
namespace {

// Adds the bias, if there is one, to 16 sums of a row and stores the outputs that exist.
inline void StorePanel(const GemmTask& task, int64_t row, int64_t panel, const float* sums) {
  const int64_t n = panel * PackedMatrix::kPanelOutputs;
  const int outputs = PanelOutputs(task, panel);
  float* y = task.y + row * task.y_stride + n;
  for (int i = 0; i < outputs; ++i) {
    y[i] = task.bias != nullptr ? sums[i] + task.bias[n + i] : sums[i];
  }
}

}  // namespace
}  // namespace oneai::kernels
