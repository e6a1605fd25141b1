// PortableScale of gemm_int_scale.h in registers, with the same bits. Include only from files that
// are compiled for AVX-512.
#pragma once

#include <immintrin.h>

#include "kernels/gemm/gemm_tiling.h"

namespace oneai::kernels {
namespace {

struct Avx512Scale {
  static inline __attribute__((always_inline)) __m512 LoadScales(const PackedLayout& layout,
                                                                 const std::byte* from) {
    if (layout.scale_form == ScaleForm::kFloat32) return _mm512_loadu_ps(from);
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }

  static inline __attribute__((always_inline)) __m512 LoadOffsets(const PackedLayout& layout,
                                                                  const std::byte* from,
                                                                  __m512 scales) {
    switch (layout.offset_form) {
      case OffsetForm::kUniformZeroPoint:
        return _mm512_mul_ps(scales, _mm512_set1_ps(-static_cast<float>(layout.zero_point)));
      case OffsetForm::kZeroPoint: {
        const __m128i zeros = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
        const __m512 z = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(zeros));
        return _mm512_mul_ps(scales, _mm512_sub_ps(_mm512_setzero_ps(), z));
      }
      case OffsetForm::kFloat16:
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
      default:
        return _mm512_loadu_ps(from);
    }
  }

  static inline __attribute__((always_inline)) void Run(const GemmTask& task, const TileWork& work,
                                                        int64_t rows, int64_t panels, int64_t group,
                                                        const std::byte* group_data) {
    const PackedLayout& layout = task.w->layout();
    const int64_t groups = layout.num_groups();
    const int64_t width = layout.BlockWidth(work.panel);
    const int64_t lane = work.panel % PackedLayout::kBlockPanels;
    const int64_t parameter = work.row * groups + group;
    const bool shifted = layout.format == WeightFormat::kInt8;
    const bool has_offsets = layout.offset_form != OffsetForm::kNone;
    for (int64_t p = 0; p < panels; ++p) {
      const __m512 scale = LoadScales(layout, group_data + (lane + p) * layout.scale_bytes());
      __m512 offset = _mm512_setzero_ps();
      if (has_offsets) {
        const std::byte* offsets =
            group_data + width * layout.scale_bytes() + (lane + p) * layout.offset_bytes();
        offset = LoadOffsets(layout, offsets, scale);
      }
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t of_row = parameter + r * groups;
        float* carry = work.carry + r * kBlockOutputs + p * 16;
        __m512i sum = _mm512_load_si512(work.group_carry + r * kBlockOutputs + p * 16);
        if (shifted) {
          sum = _mm512_sub_epi32(sum, _mm512_set1_epi32(128 * task.codes.sums[of_row]));
        }
        const __m512 scaled =
            _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(task.codes.scales[of_row]));
        __m512 y = group == 0 ? _mm512_setzero_ps() : _mm512_load_ps(carry);
        y = _mm512_fmadd_ps(scaled, scale, y);
        if (has_offsets) {
          y = _mm512_fmadd_ps(offset, _mm512_set1_ps(task.codes.scaled_sums[of_row]), y);
        }
        _mm512_store_ps(carry, y);
      }
    }
  }
};

}  // namespace
}  // namespace oneai::kernels
