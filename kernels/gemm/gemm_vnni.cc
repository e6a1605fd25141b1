// Idea: vpdpbusd adds four products of an unsigned and a signed byte per lane. Weights are the
// unsigned side, so that int4 codes need no conversion but a mask and a shift and int8 codes only
// start the sum at -128 * (sum of x's codes), which undoes their + 128. One register of int4
// weights feeds two products. Sums are exact, so their order is free; the float32 part follows
// gemm.h. Bottleneck: the dot product unit for many rows, DRAM for few. Measured:
// benchmarks/kernels/gemm_bench.
#include <immintrin.h>

#include "kernels/gemm/gemm_tiling.h"
#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

inline __attribute__((always_inline)) __m512 LoadScales(const PackedLayout& layout,
                                                        const std::byte* from) {
  if (layout.scale_form == ScaleForm::kFloat32) return _mm512_loadu_ps(from);
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

inline __attribute__((always_inline)) __m512 LoadOffsets(const PackedLayout& layout,
                                                         const std::byte* from, __m512 scales) {
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

template <int kBits>
struct IntTiles {
  template <int kRows, int kPanels>
  struct Tile {
    using Sums = __m512i[kRows][kPanels];

    // One line of each panel: 4 k with int8, 8 k with int4.
    static inline __attribute__((always_inline)) void AddLine(const std::byte* const (&w)[kPanels],
                                                              int64_t line,
                                                              const int8_t* const (&x)[kRows],
                                                              Sums& sum) {
      __m512i b[kPanels];
      for (int p = 0; p < kPanels; ++p) b[p] = _mm512_load_si512(w[p] + line * 64);
      if constexpr (kBits == 8) {
        for (int r = 0; r < kRows; ++r) {
          const __m512i a = Quad(x[r] + line * 4);
          for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_dpbusd_epi32(sum[r][p], b[p], a);
        }
      } else {
        const __m512i mask = _mm512_set1_epi8(0x0f);
        for (int p = 0; p < kPanels; ++p) {
          const __m512i low = _mm512_and_si512(b[p], mask);
          for (int r = 0; r < kRows; ++r) {
            sum[r][p] = _mm512_dpbusd_epi32(sum[r][p], low, Quad(x[r] + line * 8));
          }
        }
        for (int p = 0; p < kPanels; ++p) {
          const __m512i high = _mm512_and_si512(_mm512_srli_epi16(b[p], 4), mask);
          for (int r = 0; r < kRows; ++r) {
            sum[r][p] = _mm512_dpbusd_epi32(sum[r][p], high, Quad(x[r] + line * 8 + 4));
          }
        }
      }
    }

    static inline __attribute__((always_inline)) __m512i Quad(const int8_t* x) {
      int32_t quad;
      __builtin_memcpy(&quad, x, 4);
      return _mm512_set1_epi32(quad);
    }

    static void Run(const GemmTask& task, int64_t row, int64_t panel,
                    const PrefetchPlan& prefetch) {
      const PackedLayout& layout = task.w->layout();
      const int64_t groups = layout.num_groups();
      const int64_t width = layout.BlockWidth(panel);
      const int64_t tile_bytes = layout.tile_bytes(), tile_k = layout.tile_k;
      const int64_t lines = tile_bytes / 64;
      const int64_t tiles = layout.group_size / tile_k;
      const std::byte* at = task.w->data() + layout.GroupBegin(panel, 0);
      const int64_t lane_of_block = panel % PackedLayout::kBlockPanels;

      const int8_t* x[kRows];
      int64_t x_step[kRows];  // from one 64 k to the next
      for (int r = 0; r < kRows; ++r) {
        const RoundedRow located = LocateCodeRow(row + r, task.m, layout.padded_k);
        x[r] = task.codes.codes + located.first;
        x_step[r] = located.step;
      }
      __m512 y[kRows][kPanels];
      for (int r = 0; r < kRows; ++r) {
        for (int p = 0; p < kPanels; ++p) y[r][p] = _mm512_setzero_ps();
      }
      int64_t k = 0, step = 0;
      for (int64_t group = 0; group < groups; ++group) {
        const std::byte* scales = at + lane_of_block * layout.scale_bytes();
        const std::byte* offsets =
            at + width * layout.scale_bytes() + lane_of_block * layout.offset_bytes();
        at += layout.ParameterBytes(width);
        Sums sum;
        for (int r = 0; r < kRows; ++r) {
          const int32_t start = kBits == 8 ? -128 * task.codes.sums[(row + r) * groups + group] : 0;
          for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_set1_epi32(start);
        }
        for (int64_t tile = 0; tile < tiles; ++tile, k += tile_k, ++step) {
          const std::byte* w[kPanels];
          for (int p = 0; p < kPanels; ++p) w[p] = at + (lane_of_block + p) * tile_bytes;
          if (prefetch.Covers(step)) {
            for (int64_t i = 0; i < kPanels * tile_bytes; i += 64) {
              __builtin_prefetch(w[0] + i + prefetch.bytes_ahead);
            }
          }
          const int8_t* codes[kRows];
          for (int r = 0; r < kRows; ++r) {
            codes[r] = x[r] + k / kCodeStep * x_step[r] + k % kCodeStep;
          }
          for (int64_t line = 0; line < lines; ++line) AddLine(w, line, codes, sum);
          at += width * tile_bytes;
        }
        Scale(task, layout, row, group, scales, offsets, sum, y);
      }
      Store(task, row, panel, y);
    }

    static inline __attribute__((always_inline)) void Scale(const GemmTask& task,
                                                            const PackedLayout& layout, int64_t row,
                                                            int64_t group, const std::byte* scales,
                                                            const std::byte* offsets,
                                                            const Sums& sum,
                                                            __m512 (&y)[kRows][kPanels]) {
      const int64_t parameter = row * layout.num_groups() + group;
      for (int p = 0; p < kPanels; ++p) {
        const __m512 scale = LoadScales(layout, scales + p * layout.scale_bytes());
        for (int r = 0; r < kRows; ++r) {
          const __m512 x_scale =
              _mm512_set1_ps(task.codes.scales[parameter + r * layout.num_groups()]);
          const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r][p]), x_scale);
          y[r][p] = _mm512_fmadd_ps(scaled, scale, y[r][p]);
        }
        if (layout.offset_form == OffsetForm::kNone) continue;
        const __m512 offset = LoadOffsets(layout, offsets + p * layout.offset_bytes(), scale);
        for (int r = 0; r < kRows; ++r) {
          const __m512 x_sum =
              _mm512_set1_ps(task.codes.scaled_sums[parameter + r * layout.num_groups()]);
          y[r][p] = _mm512_fmadd_ps(offset, x_sum, y[r][p]);
        }
      }
    }

    static inline __attribute__((always_inline)) void Store(const GemmTask& task, int64_t row,
                                                            int64_t panel,
                                                            const __m512 (&y)[kRows][kPanels]) {
      for (int p = 0; p < kPanels; ++p) {
        const __mmask16 mask = static_cast<__mmask16>((1u << PanelOutputs(task, panel + p)) - 1u);
        const int64_t n = (panel + p) * PackedMatrix::kPanelOutputs;
        for (int r = 0; r < kRows; ++r) {
          __m512 value = y[r][p];
          if (task.bias != nullptr) {
            value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, task.bias + n));
          }
          _mm512_mask_storeu_ps(task.y + (row + r) * task.y_stride + n, mask, value);
        }
      }
    }
  };
};

template <int kRows, int kPanels>
using Int8Tile = IntTiles<8>::Tile<kRows, kPanels>;
template <int kRows, int kPanels>
using Int4Tile = IntTiles<4>::Tile<kRows, kPanels>;

}  // namespace

void GemmVnniInt8(const GemmTask& task) { ForEachTile<Int8Tile, 6, 4>(task); }

void GemmVnniInt4(const GemmTask& task) { ForEachTile<Int4Tile, 6, 4>(task); }

}  // namespace oneai::kernels
