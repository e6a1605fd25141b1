// Defines "correct": plain loops in float64 over the packed layout.
#include "kernels/gemm/gemm_tiling.h"
#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

constexpr int64_t kPanel = PackedMatrix::kPanelOutputs;

// dot(row, output) is sum over k of x[row][k] * w[output][k], in float64.
template <typename Dot>
void ForEachOutput(const GemmTask& task, Dot dot) {
  for (int64_t row = task.row_begin; row < task.row_end; ++row) {
    for (int64_t panel = task.panel_begin; panel < task.panel_end; ++panel) {
      for (int64_t lane = 0; lane < kPanel; ++lane) {
        const int64_t n = panel * kPanel + lane;
        if (n >= task.w->n()) break;
        const double bias = task.bias != nullptr ? task.bias[n] : 0.0;
        task.y[row * task.y_stride + n] = static_cast<float>(dot(row, panel, lane) + bias);
      }
    }
  }
}

}  // namespace

void GemmRefBf16(const GemmTask& task) {
  const auto* x = static_cast<const BFloat16*>(task.x);
  ForEachOutput(task, [&](int64_t row, int64_t panel, int64_t lane) {
    const RoundedRow at = LocateRoundedRow(row, task.m, task.w->padded_k());
    const TileStream w = StreamOf(task, panel);
    double sum = 0;
    for (int64_t k = 0; k < task.w->k(); ++k) {
      const auto* tile = reinterpret_cast<const BFloat16*>(w.data + k / 32 * w.step);
      const BFloat16 weight = tile[k % 32 / 2 * 2 * kPanel + lane * 2 + k % 2];
      const BFloat16 value = x[at.first + k / kDepthStep * at.step + k % kDepthStep];
      sum += double{ToFloat(value)} * double{ToFloat(weight)};
    }
    return sum;
  });
}

void GemmRefF32(const GemmTask& task) {
  const auto* x = static_cast<const float*>(task.x);
  ForEachOutput(task, [&](int64_t row, int64_t panel, int64_t lane) {
    const TileStream w = StreamOf(task, panel);
    double sum = 0;
    for (int64_t k = 0; k < task.w->k(); ++k) {
      const auto* tile = reinterpret_cast<const float*>(w.data + k / 16 * w.step);
      sum += double{x[row * task.x_stride + k]} * double{tile[k % 16 * kPanel + lane]};
    }
    return sum;
  });
}

}  // namespace oneai::kernels
