// The float32 part of products with integer weights, in plain loops: what gemm_avx512_scale.h does
// in registers. `static`, so that each including file has its own, compiled for its instruction
// set.
#pragma once

#include <cstring>

#include "kernels/gemm/gemm_tiling.h"
#include "kernels/gemm/pack_rows.h"

namespace oneai::kernels {
namespace {

// Adds a complete group of k to the outputs: work.carry += scale(work.group_carry), for `rows` rows
// and `panels` panels. Sums of int8 products still hold the + 128 of the stored codes.
struct PortableScale {
  static void Run(const GemmTask& task, const TileWork& work, int64_t rows, int64_t panels,
                  int64_t group, const std::byte* group_data) {
    const bool shifted = task.w->format() == WeightFormat::kInt8;
    RunShifted(task, work, rows, panels, group, group_data, shifted ? 128 : 0);
  }

  // For sums of codes + `shift`.
  static void RunShifted(const GemmTask& task, const TileWork& work, int64_t rows, int64_t panels,
                         int64_t group, const std::byte* group_data, int32_t shift) {
    const PackedLayout& layout = task.w->layout();
    const int64_t groups = layout.num_groups();
    const int64_t width = layout.BlockWidth(work.panel);
    const int64_t lane = work.panel % PackedLayout::kBlockPanels;
    for (int64_t p = 0; p < panels; ++p) {
      const std::byte* scales = group_data + (lane + p) * layout.scale_bytes();
      const std::byte* offsets =
          group_data + width * layout.scale_bytes() + (lane + p) * layout.offset_bytes();
      float scale[16], offset[16];
      for (int64_t i = 0; i < 16; ++i) {
        scale[i] = ReadScale(layout, scales, i);
        offset[i] = ReadOffset(layout, offsets, i, scale[i]);
      }
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t parameter = (work.row + r) * groups + group;
        const float x_scale = task.codes.scales[parameter];
        const float x_sum = task.codes.scaled_sums[parameter];
        const int32_t start = shift * task.codes.sums[parameter];
        const int32_t* sum = work.group_carry + r * kBlockOutputs + p * 16;
        float* y = work.carry + r * kBlockOutputs + p * 16;
        for (int i = 0; i < 16; ++i) {
          // Unsigned: the stored sum may pass 2^31, the difference does not.
          const auto dot =
              static_cast<int32_t>(static_cast<uint32_t>(sum[i]) - static_cast<uint32_t>(start));
          const float scaled = static_cast<float>(dot) * x_scale;
          const float before = group == 0 ? 0.0f : y[i];
          y[i] = __builtin_fmaf(scaled, scale[i], before);
          if (layout.offset_form != OffsetForm::kNone) {
            y[i] = __builtin_fmaf(offset[i], x_sum, y[i]);
          }
        }
      }
    }
  }
};

// Adds the bias, if there is one, to complete sums in work.carry and stores the outputs that exist.
inline void StoreFromCarry(const GemmTask& task, const TileWork& work, int64_t rows,
                           int64_t panels) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t n = (work.panel + p) * PackedMatrix::kPanelOutputs;
      const int outputs = PanelOutputs(task, work.panel + p);
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
