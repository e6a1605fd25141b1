// Idea: vpdpbusd adds four products of an unsigned and a signed byte per lane. Weights are the
// unsigned side, so that int4 codes need no conversion but a mask and a shift; the + 128 of int8
// codes is taken off once per group. One register of int4 weights feeds two products. Sums are
// exact, so their order is free; the float32 part follows gemm.h. Bottleneck: the dot product unit
// for many rows, DRAM for few. Measured: benchmarks/kernels/gemm_bench.
#include <immintrin.h>

#include "kernels/gemm/gemm_avx512_scale.h"
#include "kernels/gemm/gemm_avx512_store.h"
#include "kernels/gemm/gemm_int_groups.h"
#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

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
      const bool has_offsets = layout.offset_form != OffsetForm::kNone;
      if (layout.tile_k == kCodeStep) {
        has_offsets ? RunGroups<kCodeStep, true>(task, work)
                    : RunGroups<kCodeStep, false>(task, work);
      } else if (layout.tile_k == 32) {
        has_offsets ? RunGroups<32, true>(task, work) : RunGroups<32, false>(task, work);
      } else {
        has_offsets ? RunGroups<16, true>(task, work) : RunGroups<16, false>(task, work);
      }
      if (!work.last) return;
      __m512 y[kRows][kPanels];
      LoadCarry(work.carry, y);
      StoreOutputs(task, work, y);
    }

    // A piece of one group: everything that its loop needs, so that all registers are for its sums.
    struct Piece {
      const std::byte* w;
      int64_t w_step;
      const int8_t* x;
      int64_t x_step;
      int64_t k, k_end;
      int64_t next_x;  // to the codes to ask for; 0: none
      bool continues, completes;
      const std::byte** ask_at;  // these four as in TileWork
      uint32_t ask_lines;
      int64_t ask_distance;
      bool reads_once;
    };

    template <int kTileK, bool kHasOffsets>
    static ONEAI_INLINE void RunGroups(const GemmTask& task, const TileWork& work) {
      const PackedLayout& layout = task.w->layout();
      const int64_t width = layout.BlockWidth(work.panel);
      const int64_t group_size = layout.group_size, group_bytes = layout.GroupBytes(width);
      const int64_t parameter_bytes = layout.ParameterBytes(width);
      const int64_t first_tile =
          parameter_bytes + work.panel % PackedLayout::kBlockPanels * layout.tile_bytes();
      const CodeTileRows x = LocateCodes(task, work.row);
      int64_t group = work.k_begin / group_size;
      int64_t in_group = work.k_begin - group * group_size;
      const std::byte* group_data = task.w->data() + layout.GroupBegin(work.panel, group);
      if (work.first) Avx512Scale::Begin(work, kRows, kPanels);
      if (work.last) AskForOutputs<kRows, kPanels>(task, work);
      Avx512Scale scale(task, work, group, group_data);
      Piece piece{.w_step = width * layout.tile_bytes(),
                  .x = x.data,
                  .x_step = x.step,
                  .ask_at = work.ask_at,
                  .ask_lines = work.ask_lines,
                  .ask_distance = work.ask_distance,
                  .reads_once = work.reads_once};
      // Codes of x come from the second or third level: those of the next tile that has this one's
      // place in its group of rows are asked for now.
      if (work.row + kRowGroup < task.row_end) piece.next_x = layout.padded_k / kCodeStep * x.step;
      for (piece.k = work.k_begin; piece.k < work.k_end; piece.k = piece.k_end) {
        if ((piece.ask_lines & 1u) != 0 && in_group == 0) {
          AskForParameters(piece, group_data, parameter_bytes, group_bytes);
        }
        const int64_t group_end = piece.k - in_group + group_size;
        piece.w = group_data + first_tile + in_group / kTileK * piece.w_step;
        piece.k_end = std::min(group_end, work.k_end);
        piece.continues = in_group > 0;
        piece.completes = piece.k_end == group_end;
        RunPiece<kTileK, kHasOffsets>(piece, scale, work.group_carry);
        in_group = 0;
        group_data += group_bytes;
        scale.Advance(group_bytes);
      }
    }

    template <int kTileK, bool kHasOffsets>
    static __attribute__((noinline)) void RunPiece(const Piece& piece, const Avx512Scale& scale,
                                                   int32_t* carry) {
      Stream ahead(piece);
      __m512i sum[kRows][kPanels];
      scale.BeginSums<kBits>(sum);
      // Not by masks: a load that a mask turns off is slow where no page was touched yet.
      if (piece.continues) {
        ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
          ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
            sum[r][p] = _mm512_load_si512(carry + r * kBlockOutputs + p * 16);
          }
        }
      }
      const std::byte* w = piece.w;
      const int64_t w_step = piece.w_step, k_end = piece.k_end;
      for (int64_t k = piece.k; k < k_end; k += kTileK, w += w_step) {
        const int8_t* x = piece.x + k / kCodeStep * piece.x_step + k % kCodeStep;
        if (piece.next_x != 0) {
          ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
            __builtin_prefetch(x + piece.next_x + r * kCodeStep);
          }
        }
        ahead.Step(w);
        AddTile<kTileK>(w, x, ahead, sum);
      }
      if (piece.completes) return scale.AddTile<kHasOffsets>(sum);
      ONEAI_UNROLL for (int r = 0; r < kRows; ++r) {
        ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
          _mm512_store_si512(carry + r * kBlockOutputs + p * 16, sum[r][p]);
        }
      }
    }

    template <int kTileK>
    static ONEAI_INLINE void AddTile(const std::byte* w, const int8_t* x, Stream& ahead,
                                     __m512i (&sum)[kRows][kPanels]) {
      constexpr int64_t kLines = kTileK * kBits / 32;  // 4 k each with int8, 8 k with int4
      constexpr int64_t kBytes = kLines * kLineBytes;
#pragma GCC unroll 4
      for (int64_t i = 0; i < kLines; ++i) {
        const std::byte* line = w + i * kLineBytes;
        ahead.Ask<kPanels>(i);
        __m512i b[kPanels];
        ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) b[p] = _mm512_load_si512(line + p * kBytes);
        if constexpr (kBits == 8) {
          Add(b, x + i * 4, sum);
        } else {
          const __m512i mask = _mm512_set1_epi8(0x0f);
          ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) b[p] = _mm512_and_si512(b[p], mask);
          Add(b, x + i * 8, sum);
          // Read again: registers are scarcer than loads.
          __asm__("" : "+r"(line));
          ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) b[p] =
              _mm512_load_si512(line + p * kBytes);
          ONEAI_UNROLL for (int p = 0; p < kPanels; ++p) {
            b[p] = _mm512_and_si512(_mm512_srli_epi16(b[p], 4), mask);
          }
          Add(b, x + i * 8 + 4, sum);
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
  };
};

template <int kRows, int kPanels>
using Int8Tile = IntTiles<8>::Tile<kRows, kPanels>;
template <int kRows, int kPanels>
using Int4Tile = IntTiles<4>::Tile<kRows, kPanels>;

}  // namespace

void GemmVnniInt8(const GemmTask& task) { ForEachWideTile<Int8Tile>(task); }

void GemmVnniInt4(const GemmTask& task) { ForEachWideTile<Int4Tile>(task); }

}  // namespace oneai::kernels
