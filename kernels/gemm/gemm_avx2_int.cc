// Idea: vpmaddubsw multiplies unsigned by signed bytes and adds neighbours in 16 bits. int4 codes
// are at most 15, so eight such sums stay below 2^15 before they must be widened. int8 codes would
// overflow; they go in as |w| with w's sign put on x, where 2 * 128 * 127 just fits, and so need no
// + 128. The float32 part follows gemm.h. Bottleneck: the multiplier for many rows, DRAM for few.
// Measured: benchmarks/kernels/gemm_bench.
#include <immintrin.h>

#include "kernels/gemm/gemm_avx2_scale.h"
#include "kernels/gemm/gemm_avx2_store.h"
#include "kernels/gemm/gemm_int_groups.h"
#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

inline __attribute__((always_inline)) __m256i Quad(const int8_t* x) {
  int32_t quad;
  __builtin_memcpy(&quad, x, 4);
  return _mm256_set1_epi32(quad);
}

inline __attribute__((always_inline)) __m256i Widen(__m256i sums16) {
  return _mm256_madd_epi16(sums16, _mm256_set1_epi16(1));
}

template <int kBits>
struct IntTiles {
  template <int kRows, int kPanels>
  struct Tile {
    static_assert(kPanels == 1);

    static void Run(const GemmTask& task, const TileWork& work) {
      ForEachPiece(task, work, [&](const GroupPiece& piece) { RunPiece(task, work, piece); });
      if (!work.last) return;
      for (int r = 0; r < kRows; ++r) {
        StorePanel(task, work.row + r, work.panel, work.carry + r * kBlockOutputs);
      }
    }

    static void RunPiece(const GemmTask& task, const TileWork& work, const GroupPiece& piece) {
      const PackedLayout& layout = task.w->layout();
      const int64_t lines = layout.tile_bytes() / kLineBytes;
      __m256i low[kRows], high[kRows];  // outputs 0-7 and 8-15
      for (int r = 0; r < kRows; ++r) {
        const auto* sums = reinterpret_cast<const __m256i*>(piece.sums + r * kBlockOutputs);
        low[r] = piece.continues ? _mm256_load_si256(sums) : _mm256_setzero_si256();
        high[r] = piece.continues ? _mm256_load_si256(sums + 1) : _mm256_setzero_si256();
      }
      const Stream ahead(piece);
      const std::byte* w = piece.w;
      for (int64_t k = piece.k; k < piece.k_end; k += layout.tile_k, w += piece.w_step) {
        const int8_t* x = piece.CodesAt(k);
        for (int64_t i = 0; i < lines; ++i) {
          const auto* line = reinterpret_cast<const __m256i*>(w + i * kLineBytes);
          ahead.Ask<1>(w, i);
          if constexpr (kBits == 8) {
            AddLine8(line, x + i * 4, low, high);
          } else {
            AddLine4(line, x + i * 8, low, high);
          }
        }
      }
      if (piece.completes) {
        return Avx2Scale::AddTile(task, work, piece.group, piece.group_data, low, high);
      }
      for (int r = 0; r < kRows; ++r) {
        auto* sums = reinterpret_cast<__m256i*>(piece.sums + r * kBlockOutputs);
        _mm256_store_si256(sums, low[r]);
        _mm256_store_si256(sums + 1, high[r]);
      }
    }

    static inline __attribute__((always_inline)) void AddLine8(const __m256i* line, const int8_t* x,
                                                               __m256i (&low)[kRows],
                                                               __m256i (&high)[kRows]) {
      const __m256i flip = _mm256_set1_epi8(static_cast<char>(0x80));
      const __m256i w_low = _mm256_xor_si256(_mm256_load_si256(line), flip);
      const __m256i w_high = _mm256_xor_si256(_mm256_load_si256(line + 1), flip);
      const __m256i abs_low = _mm256_abs_epi8(w_low), abs_high = _mm256_abs_epi8(w_high);
      for (int r = 0; r < kRows; ++r) {
        const __m256i a = Quad(x + r * kCodeStep);
        low[r] = _mm256_add_epi32(low[r],
                                  Widen(_mm256_maddubs_epi16(abs_low, _mm256_sign_epi8(a, w_low))));
        high[r] = _mm256_add_epi32(
            high[r], Widen(_mm256_maddubs_epi16(abs_high, _mm256_sign_epi8(a, w_high))));
      }
    }

    static inline __attribute__((always_inline)) void AddLine4(const __m256i* line, const int8_t* x,
                                                               __m256i (&low)[kRows],
                                                               __m256i (&high)[kRows]) {
      const __m256i mask = _mm256_set1_epi8(0x0f);
      const __m256i b_low = _mm256_load_si256(line), b_high = _mm256_load_si256(line + 1);
      const __m256i first_low = _mm256_and_si256(b_low, mask);
      const __m256i first_high = _mm256_and_si256(b_high, mask);
      const __m256i last_low = _mm256_and_si256(_mm256_srli_epi16(b_low, 4), mask);
      const __m256i last_high = _mm256_and_si256(_mm256_srli_epi16(b_high, 4), mask);
      for (int r = 0; r < kRows; ++r) {
        const __m256i first = Quad(x + r * kCodeStep), last = Quad(x + r * kCodeStep + 4);
        const __m256i sum_low = _mm256_add_epi16(_mm256_maddubs_epi16(first_low, first),
                                                 _mm256_maddubs_epi16(last_low, last));
        const __m256i sum_high = _mm256_add_epi16(_mm256_maddubs_epi16(first_high, first),
                                                  _mm256_maddubs_epi16(last_high, last));
        low[r] = _mm256_add_epi32(low[r], Widen(sum_low));
        high[r] = _mm256_add_epi32(high[r], Widen(sum_high));
      }
    }
  };
};

template <int kRows, int kPanels>
using Int8Tile = IntTiles<8>::Tile<kRows, kPanels>;
template <int kRows, int kPanels>
using Int4Tile = IntTiles<4>::Tile<kRows, kPanels>;

}  // namespace

void GemmAvx2Int8(const GemmTask& task) { ForEachTile<Int8Tile, 4, 1>(task); }

void GemmAvx2Int4(const GemmTask& task) { ForEachTile<Int4Tile, 4, 1>(task); }

}  // namespace oneai::kernels
