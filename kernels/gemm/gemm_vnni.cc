// Idea: vpdpbusd adds four products of an unsigned and a signed byte per lane. Weights are the
// unsigned side, so that int4 codes need no conversion but a mask and a shift and int8 codes only
// start the sum at -128 * (sum of x's codes), which undoes their + 128. One register of int4
// weights feeds two products. Sums are exact, so their order is free; the float32 part follows
// gemm.h. Bottleneck: the dot product unit for many rows, DRAM for few. Measured:
// benchmarks/kernels/gemm_bench.
#include <immintrin.h>

#include "kernels/gemm/gemm_avx512_store.h"
#include "kernels/gemm/gemm_tiling.h"
#include "kernels/gemm/gemm_variants.h"

// Loops over the sums of a tile must vanish early, or GCC 12 keeps the sums in memory.
#define ONEAI_UNROLL _Pragma("GCC unroll 8")

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

// sum += products of unsigned w and signed x. Assembly, because GCC 12 copies every sum that it
// passes through the intrinsic when there are many.
inline __attribute__((always_inline)) void AddProducts(__m512i& sum, __m512i w, __m512i x) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x));
}

template <int kBits>
struct IntTiles {
  template <int kRows, int kPanels>
  struct Tile {
    static void Run(const GemmTask& task, const TileWork& work) {
      const PackedLayout& layout = task.w->layout();
      const int64_t tile_k = layout.tile_k;
      const int64_t width = layout.BlockWidth(work.panel);
      const CodeTileRows x = LocateCodes(task, work.row);
      int64_t group = work.k_begin / layout.group_size;
      int64_t group_end = (group + 1) * layout.group_size;
      int64_t in_group = work.k_begin - group * layout.group_size;
      const std::byte* group_data = task.w->data() + layout.GroupBegin(work.panel, group);
      const int64_t first_tile = layout.ParameterBytes(width) +
                                 work.panel % PackedLayout::kBlockPanels * layout.tile_bytes();
      uint32_t lines = work.prefetch_lines;
      for (int64_t k = work.k_begin; k < work.k_end;) {
        const int64_t end = std::min(group_end, work.k_end);
        Segment segment{
            .w = group_data + first_tile + in_group / tile_k * width * layout.tile_bytes(),
            .w_step = width * layout.tile_bytes(),
            .x = x.data,
            .x_step = x.step,
            .k = k,
            .k_end = end,
            .starts =
                in_group > 0 ? nullptr : task.codes.sums + work.row * layout.num_groups() + group,
            .starts_step = layout.num_groups(),
            .sums = work.group_carry,
            .ahead_bytes = work.ahead_bytes,
            .prefetch_lines = lines};
        if (tile_k == kCodeStep) {
          Accumulate<kCodeStep>(segment);
        } else if (tile_k == 32) {
          Accumulate<32>(segment);
          lines = Rotate(lines);
        } else {
          Accumulate<16>(segment);
          lines = Rotate(lines);
        }
        k = end;
        if (k == group_end) {
          Scale(task, work, group, group_data);
          ++group;
          group_end += layout.group_size;
          group_data += layout.GroupBytes(width);
          in_group = 0;
        }
      }
      if (work.last) {
        __m512 y[kRows][kPanels];
        LoadCarry(work.carry, y);
        StoreOutputs(task, work, y);
      }
    }

    // Small tiles have few lines: each time others come first.
    static uint32_t Rotate(uint32_t lines) { return (lines >> 4 | lines << 12) & 0xffffu; }

    // A piece of one group of k. `starts`: sums of x's codes, from which int8 products start; null:
    // go on from `sums`.
    struct Segment {
      const std::byte* w;
      int64_t w_step;
      const int8_t* x;
      int64_t x_step, k, k_end;
      const int32_t* starts;
      int64_t starts_step;
      int32_t* sums;
      int64_t ahead_bytes;
      uint32_t prefetch_lines;
    };

    // A function of its own, so that all registers are for its sums.
    template <int kTileK>
    static __attribute__((noinline)) void Accumulate(const Segment& segment) {
      constexpr int64_t kLines = kTileK * kBits / 32;  // 4 k each with int8, 8 k with int4
      constexpr int64_t kBytes = kLines * kLineBytes;
      __m512i sum[kRows][kPanels];
      if (segment.starts == nullptr) {
        ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
          ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
            sum[r][p] = _mm512_load_si512(segment.sums + r * kBlockOutputs + p * 16);
          }
        }
      } else {
        ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
          const int32_t start = kBits == 8 ? -128 * segment.starts[r * segment.starts_step] : 0;
          ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_set1_epi32(start);
        }
      }
      const std::byte* w = segment.w;
      const int64_t ahead = segment.ahead_bytes;
      const uint32_t prefetch = segment.prefetch_lines;
      for (int64_t k = segment.k; k < segment.k_end; k += kTileK, w += segment.w_step) {
        const int8_t* x = segment.x + k / kCodeStep * segment.x_step + k % kCodeStep;
#pragma GCC unroll 2
        for (int64_t i = 0; i < kLines; ++i) {
          const std::byte* line = w + i * kLineBytes;
          if ((prefetch >> i & 1u) != 0) {
            for (int p = 0; p < kPanels; ++p) __builtin_prefetch(line + p * kBytes + ahead);
          }
          __m512i b[kPanels];
          for (int p = 0; p < kPanels; ++p) b[p] = _mm512_load_si512(line + p * kBytes);
          if constexpr (kBits == 8) {
            Add(b, x + i * 4, sum);
          } else {
            const __m512i mask = _mm512_set1_epi8(0x0f);
            __m512i low[kPanels];
            for (int p = 0; p < kPanels; ++p) low[p] = _mm512_and_si512(b[p], mask);
            Add(low, x + i * 8, sum);
            for (int p = 0; p < kPanels; ++p) {
              b[p] = _mm512_and_si512(_mm512_srli_epi16(b[p], 4), mask);
            }
            Add(b, x + i * 8 + 4, sum);
          }
        }
      }
      ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
        ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
          _mm512_store_si512(segment.sums + r * kBlockOutputs + p * 16, sum[r][p]);
        }
      }
    }

    static inline __attribute__((always_inline)) void Add(const __m512i (&b)[kPanels],
                                                          const int8_t* x,
                                                          __m512i (&sum)[kRows][kPanels]) {
      ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
        int32_t quad;
        __builtin_memcpy(&quad, x + r * kCodeStep, 4);
        const __m512i a = _mm512_set1_epi32(quad);
        ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) AddProducts(sum[r][p], b[p], a);
      }
    }

    // Adds a complete group to the outputs, which rest in memory: registers are for `sum`.
    static inline __attribute__((always_inline)) void Scale(const GemmTask& task,
                                                            const TileWork& work, int64_t group,
                                                            const std::byte* group_data) {
      const PackedLayout& layout = task.w->layout();
      const int64_t groups = layout.num_groups();
      const float* x_scales = task.codes.scales + work.row * groups + group;
      const float* x_sums = task.codes.scaled_sums + work.row * groups + group;
      const int64_t width = layout.BlockWidth(work.panel);
      const int64_t lane = work.panel % PackedLayout::kBlockPanels;
      const std::byte* scales = group_data + lane * layout.scale_bytes();
      const std::byte* offsets =
          group_data + width * layout.scale_bytes() + lane * layout.offset_bytes();
      for (int p = 0; p < kPanels; ++p) {
        const __m512 scale = LoadScales(layout, scales + p * layout.scale_bytes());
        const bool has_offsets = layout.offset_form != OffsetForm::kNone;
        const __m512 offset = has_offsets
                                  ? LoadOffsets(layout, offsets + p * layout.offset_bytes(), scale)
                                  : _mm512_setzero_ps();
        for (int r = 0; r < kRows; ++r) {
          float* carry = work.carry + r * kBlockOutputs + p * 16;
          __m512 y = group == 0 ? _mm512_setzero_ps() : _mm512_load_ps(carry);
          const __m512i sum = _mm512_load_si512(work.group_carry + r * kBlockOutputs + p * 16);
          const __m512 scaled =
              _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(x_scales[r * groups]));
          y = _mm512_fmadd_ps(scaled, scale, y);
          if (has_offsets) y = _mm512_fmadd_ps(offset, _mm512_set1_ps(x_sums[r * groups]), y);
          _mm512_store_ps(carry, y);
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
