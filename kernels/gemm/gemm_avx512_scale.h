// PortableScale of gemm_int_scale.h in registers, with the same bits. Include only from files that
// are compiled for AVX-512.
#pragma once

#include <immintrin.h>

#include "kernels/gemm/gemm_avx512_store.h"

namespace oneai::kernels {
namespace {

// Adds one complete group of k to a tile's outputs in work.carry.
class Avx512Scale {
 public:
  ONEAI_INLINE Avx512Scale(const GemmTask& task, const TileWork& work, int64_t group,
                           const std::byte* group_data)
      : layout_(task.w->layout()),
        carry_(work.carry),
        groups_(layout_.num_groups()),
        is_half_(layout_.scale_form == ScaleForm::kFloat16 &&
                 layout_.offset_form == OffsetForm::kFloat16) {
    const int64_t lane = work.panel % PackedLayout::kBlockPanels;
    const int64_t parameter = work.row * groups_ + group;
    scales_ = group_data + lane * layout_.scale_bytes();
    offsets_ = group_data + layout_.BlockWidth(work.panel) * layout_.scale_bytes() +
               lane * layout_.offset_bytes();
    x_scales_ = task.codes.scales + parameter;
    x_scaled_sums_ = task.codes.scaled_sums + parameter;
    x_sums_ = task.codes.sums + parameter;
  }

  // To the next group of the same tile, whose first byte is `group_bytes` on.
  ONEAI_INLINE void Advance(int64_t group_bytes) {
    scales_ += group_bytes;
    offsets_ += group_bytes;
    ++x_scales_;
    ++x_scaled_sums_;
    ++x_sums_;
  }

  // Starts outputs at zero.
  static ONEAI_INLINE void Begin(const TileWork& work, int64_t rows, int64_t panels) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t p = 0; p < panels; ++p) {
        _mm512_store_ps(work.carry + r * kBlockOutputs + p * 16, _mm512_setzero_ps());
      }
    }
  }

  // A complete group whose sums, of codes as they are stored, rest in memory, rows kBlockOutputs
  // apart.
  struct RestingGroup {
    int64_t group;
    const std::byte* data;
    const int32_t* sums;
  };

  // Adds scale(sum) of kGroups consecutive groups, so that outputs pass through registers once for
  // them; group 0 starts the outputs.
  template <int kBits, int kPanels, int kGroups>
  static void AddResting(const GemmTask& task, const TileWork& work, int64_t rows,
                         const RestingGroup* groups) {
    task.w->layout().offset_form == OffsetForm::kNone
        ? AddRestingForm<kBits, kPanels, kGroups, false>(task, work, rows, groups)
        : AddRestingForm<kBits, kPanels, kGroups, true>(task, work, rows, groups);
  }

  // Starts a tile's sums of products at zero. int8 codes are stored with + 128, which is taken off
  // here.
  template <int kBits, int kRows, int kPanels>
  ONEAI_INLINE void BeginSums(__m512i (&sum)[kRows][kPanels]) const {
    ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
      const __m512i start =
          kBits == 8 ? _mm512_set1_epi32(-128 * x_sums_[r * groups_]) : _mm512_setzero_si512();
      ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) sum[r][p] = start;
    }
  }

  // Adds scale(sum) to the outputs in work.carry. What belongs to weights and to rows is gathered
  // first: addresses that the compiler can count from one register leave the others to the sums.
  template <bool kHasOffsets, int kRows, int kPanels>
  ONEAI_INLINE void AddTile(const __m512i (&sum)[kRows][kPanels]) const {
    Panel panels[kPanels];
    float x_scales[kRows], x_sums[kRows];
    if (is_half_) {  // the form of our own int4
      ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
        panels[p] = {LoadHalves(scales_ + p * 32), LoadHalves(offsets_ + p * 32)};
      }
    } else {
#pragma GCC unroll 1
      for (int p = 0; p < kPanels; ++p) panels[p] = Locate(p);
    }
    ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
      x_scales[r] = x_scales_[r * groups_];
      x_sums[r] = kHasOffsets ? x_scaled_sums_[r * groups_] : 0.0f;
    }
    float* const carry = carry_;
    ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
      const Panel panel = panels[p];
      ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
        float* const at = carry + r * kBlockOutputs + p * 16;
        const __m512 scaled =
            _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r][p]), _mm512_set1_ps(x_scales[r]));
        __m512 y = _mm512_fmadd_ps(scaled, panel.scales, _mm512_load_ps(at));
        if constexpr (kHasOffsets) {
          y = _mm512_fmadd_ps(panel.offsets, _mm512_set1_ps(x_sums[r]), y);
        }
        _mm512_store_ps(at, y);
      }
    }
  }

 private:
  struct Panel {
    __m512 scales, offsets;
  };

  template <int kBits, int kPanels, int kGroups, bool kHasOffsets>
  static void AddRestingForm(const GemmTask& task, const TileWork& work, int64_t rows,
                             const RestingGroup* groups) {
    if (groups[0].group == 0) Begin(work, rows, kPanels);
    const Avx512Scale first(task, work, groups[0].group, groups[0].data);
    const Avx512Scale last(task, work, groups[kGroups - 1].group, groups[kGroups - 1].data);
    const Avx512Scale* const scale[2] = {&first, &last};
    Panel panel[kGroups][kPanels];
    ONEAI_UNROLL for (int g = 0; g < kGroups; ++g) {
      ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) panel[g][p] = scale[g]->Locate(p);
    }
    for (int64_t r = 0; r < rows; ++r) {
      ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
        const int64_t at = r * kBlockOutputs + p * 16;
        __m512 y = _mm512_load_ps(work.carry + at);
        ONEAI_UNROLL for (int g = 0; g < kGroups; ++g) {
          __m512i sum = _mm512_load_si512(groups[g].sums + at);
          if constexpr (kBits == 8) sum = scale[g]->WithoutShift(sum, r);
          y = scale[g]->Scaled<kHasOffsets>(panel[g][p], r, sum, y);
        }
        _mm512_store_ps(work.carry + at, y);
      }
    }
  }

  // int8 codes are stored with + 128.
  ONEAI_INLINE __m512i WithoutShift(__m512i sum, int64_t r) const {
    return _mm512_sub_epi32(sum, _mm512_set1_epi32(128 * x_sums_[r * groups_]));
  }

  template <bool kHasOffsets>
  ONEAI_INLINE __m512 Scaled(const Panel& panel, int64_t r, __m512i sum, __m512 before) const {
    const __m512 scaled =
        _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(x_scales_[r * groups_]));
    const __m512 y = _mm512_fmadd_ps(scaled, panel.scales, before);
    if constexpr (!kHasOffsets) return y;
    return _mm512_fmadd_ps(panel.offsets, _mm512_set1_ps(x_scaled_sums_[r * groups_]), y);
  }

  static ONEAI_INLINE __m512 LoadHalves(const std::byte* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }

  ONEAI_INLINE Panel Locate(int64_t p) const {
    const std::byte* scales = scales_ + p * layout_.scale_bytes();
    const std::byte* offsets = offsets_ + p * layout_.offset_bytes();
    Panel panel;
    panel.scales =
        layout_.scale_form == ScaleForm::kFloat32 ? _mm512_loadu_ps(scales) : LoadHalves(scales);
    switch (layout_.offset_form) {
      case OffsetForm::kNone:
        panel.offsets = _mm512_setzero_ps();
        break;
      case OffsetForm::kUniformZeroPoint:
        panel.offsets =
            _mm512_mul_ps(panel.scales, _mm512_set1_ps(-static_cast<float>(layout_.zero_point)));
        break;
      case OffsetForm::kZeroPoint: {
        const __m128i zeros = _mm_loadu_si128(reinterpret_cast<const __m128i*>(offsets));
        const __m512 z = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(zeros));
        panel.offsets = _mm512_mul_ps(panel.scales, _mm512_sub_ps(_mm512_setzero_ps(), z));
        break;
      }
      case OffsetForm::kFloat16:
        panel.offsets = LoadHalves(offsets);
        break;
      case OffsetForm::kFloat32:
        panel.offsets = _mm512_loadu_ps(offsets);
        break;
    }
    return panel;
  }

  const PackedLayout& layout_;
  float* const carry_;
  const int64_t groups_;
  const bool is_half_;
  const std::byte *scales_, *offsets_;
  const float *x_scales_, *x_scaled_sums_;
  const int32_t* x_sums_;
};

}  // namespace
}  // namespace oneai::kernels
