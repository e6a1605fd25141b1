// PortableScale of gemm_int_scale.h in registers of 8 outputs, with the same bits. Include only
// from files that are compiled for AVX2.
#pragma once

#include <immintrin.h>

#include "kernels/gemm/gemm_tiling.h"

namespace oneai::kernels {
namespace {

// carry += scale(sum) for outputs 0-7 (`low`) and 8-15 of one panel and a complete group of k.
class Avx2Scale {
 public:
  template <int kRows>
  static ONEAI_INLINE void AddTile(const GemmTask& task, const TileWork& work, int64_t group,
                                   const std::byte* group_data, const __m256i (&low)[kRows],
                                   const __m256i (&high)[kRows]) {
    const PackedLayout& layout = task.w->layout();
    const int64_t groups = layout.num_groups();
    const int64_t lane = work.panel % PackedLayout::kBlockPanels;
    const std::byte* scales = group_data + lane * layout.scale_bytes();
    const std::byte* offsets = group_data + layout.BlockWidth(work.panel) * layout.scale_bytes() +
                               lane * layout.offset_bytes();
    const bool has_offsets = layout.offset_form != OffsetForm::kNone;
    for (int half = 0; half < 2; ++half) {
      const __m256 scale = LoadScales(layout, scales, half);
      const __m256 offset = has_offsets ? LoadOffsets(layout, offsets, half, scale) : scale;
      for (int r = 0; r < kRows; ++r) {
        const int64_t parameter = (work.row + r) * groups + group;
        float* carry = work.carry + r * kBlockOutputs + half * 8;
        const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(half == 0 ? low[r] : high[r]),
                                            _mm256_set1_ps(task.codes.scales[parameter]));
        const __m256 before = group == 0 ? _mm256_setzero_ps() : _mm256_load_ps(carry);
        __m256 y = _mm256_fmadd_ps(scaled, scale, before);
        if (has_offsets) {
          y = _mm256_fmadd_ps(offset, _mm256_set1_ps(task.codes.scaled_sums[parameter]), y);
        }
        _mm256_store_ps(carry, y);
      }
    }
  }

 private:
  static ONEAI_INLINE __m256 LoadHalves(const std::byte* from, int half) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from) + half));
  }
  static ONEAI_INLINE __m256 LoadFloats(const std::byte* from, int half) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(from) + half * 8);
  }

  static ONEAI_INLINE __m256 LoadScales(const PackedLayout& layout, const std::byte* from,
                                        int half) {
    return layout.scale_form == ScaleForm::kFloat32 ? LoadFloats(from, half)
                                                    : LoadHalves(from, half);
  }

  static ONEAI_INLINE __m256 LoadOffsets(const PackedLayout& layout, const std::byte* from,
                                         int half, __m256 scale) {
    switch (layout.offset_form) {
      case OffsetForm::kUniformZeroPoint:
        return _mm256_mul_ps(scale, _mm256_set1_ps(-static_cast<float>(layout.zero_point)));
      case OffsetForm::kZeroPoint: {
        const __m128i zeros = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + half * 8));
        const __m256 z = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(zeros));
        return _mm256_mul_ps(scale, _mm256_sub_ps(_mm256_setzero_ps(), z));
      }
      case OffsetForm::kFloat16:
        return LoadHalves(from, half);
      default:
        return LoadFloats(from, half);
    }
  }
};

}  // namespace
}  // namespace oneai::kernels
