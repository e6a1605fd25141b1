// PortableScale of gemm_int_scale.h in registers of 8 outputs, with the same bits. Include only
// from files that are compiled for AVX2.
#pragma once

#include <immintrin.h>

#include "kernels/gemm/gemm_tiling.h"

namespace oneai::kernels {
namespace {

class Avx2Scale {
 public:
  // Adds a complete group of k to the outputs: work.carry += scale(work.group_carry), whose sums
  // are of codes + kShift.
  template <int kRows, int kPanels, int32_t kShift>
  static ONEAI_INLINE void AddGroup(const GemmTask& task, const TileWork& work, int64_t group,
                                    const std::byte* group_data) {
    task.w->layout().offset_form == OffsetForm::kNone
        ? AddPanels<kRows, kPanels, kShift, false>(task, work, group, group_data)
        : AddPanels<kRows, kPanels, kShift, true>(task, work, group, group_data);
  }

 private:
  template <int kRows, int kPanels, int32_t kShift, bool kHasOffsets>
  static ONEAI_INLINE void AddPanels(const GemmTask& task, const TileWork& work, int64_t group,
                                     const std::byte* group_data) {
    const PackedLayout& layout = task.w->layout();
    const int64_t groups = layout.num_groups();
    const int64_t lane = work.panel % PackedLayout::kBlockPanels;
    const std::byte* scales = group_data + lane * layout.scale_bytes();
    const std::byte* offsets = group_data + layout.BlockWidth(work.panel) * layout.scale_bytes() +
                               lane * layout.offset_bytes();
    __m256 scale[2 * kPanels], offset[2 * kPanels];
    for (int half = 0; half < 2 * kPanels; ++half) {
      scale[half] = LoadScales(layout, scales + half / 2 * layout.scale_bytes(), half % 2);
      if constexpr (kHasOffsets) {
        offset[half] =
            LoadOffsets(layout, offsets + half / 2 * layout.offset_bytes(), half % 2, scale[half]);
      }
    }
    const int64_t parameter = work.row * groups + group;
    const float* x_scales = task.codes.scales + parameter;
    const float* x_scaled_sums = task.codes.scaled_sums + parameter;
    const int32_t* x_sums = task.codes.sums + parameter;
    const int32_t* sums = work.group_carry;
    float* carry = work.carry;
    for (int r = 0; r < kRows; ++r) {
      const __m256 x_scale = _mm256_set1_ps(x_scales[r * groups]);
      const __m256 x_scaled_sum = _mm256_set1_ps(x_scaled_sums[r * groups]);
      const __m256i shift = _mm256_set1_epi32(kShift * x_sums[r * groups]);
      for (int half = 0; half < 2 * kPanels; ++half) {
        __m256i sum = _mm256_load_si256(reinterpret_cast<const __m256i*>(sums) + half);
        if constexpr (kShift != 0) sum = _mm256_sub_epi32(sum, shift);
        const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), x_scale);
        __m256 y = _mm256_fmadd_ps(scaled, scale[half], _mm256_load_ps(carry + half * 8));
        if constexpr (kHasOffsets) y = _mm256_fmadd_ps(offset[half], x_scaled_sum, y);
        _mm256_store_ps(carry + half * 8, y);
      }
      sums += kBlockOutputs;
      carry += kBlockOutputs;
    }
  }

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
