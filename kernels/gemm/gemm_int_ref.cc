// Defines "correct" for integer weights, bit for bit: exact sums of products of codes, then the
// float32 operations of gemm.h in their order. (How far that is from real numbers is derived in the
// test.)
#include <cmath>

#include "kernels/gemm/gemm_tiling.h"
#include "kernels/gemm/gemm_variants.h"
#include "kernels/gemm/pack_rows.h"

namespace oneai::kernels {
namespace {

float Output(const GemmTask& task, int64_t row, int64_t n) {
  const PackedLayout& layout = task.w->layout();
  const RoundedRow at = LocateCodeRow(row, task.m, layout.padded_k);
  float sum = 0.0f;
  for (int64_t group = 0; group < layout.num_groups(); ++group) {
    int64_t dot = 0;
    StoredWeight w;
    for (int64_t k = group * layout.group_size; k < (group + 1) * layout.group_size; ++k) {
      w = ReadStored(layout, task.w->data(), n, k);
      dot += int64_t{w.code} * task.codes.codes[at.first + k / kCodeStep * at.step + k % kCodeStep];
    }
    const int64_t parameter = row * layout.num_groups() + group;
    const float scaled = static_cast<float>(dot) * task.codes.scales[parameter];
    sum = std::fma(scaled, w.scale, sum);
    if (layout.offset_form != OffsetForm::kNone) {
      sum = std::fma(w.offset, task.codes.scaled_sums[parameter], sum);
    }
  }
  return sum;
}

}  // namespace

void GemmRefInt(const GemmTask& task) {
  const int64_t end = std::min(task.w->n(), task.panel_end * PackedMatrix::kPanelOutputs);
  for (int64_t row = task.row_begin; row < task.row_end; ++row) {
    for (int64_t n = task.panel_begin * PackedMatrix::kPanelOutputs; n < end; ++n) {
      const float sum = Output(task, row, n);
      task.y[row * task.y_stride + n] = task.bias != nullptr ? sum + task.bias[n] : sum;
    }
  }
}

}  // namespace oneai::kernels
