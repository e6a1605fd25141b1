// Idea: int8 codes go through vpmaddwd as 16-bit values, the even and the odd k of each output
// apart: a mask and a shift widen the unsigned w in registers, x is widened once per step. (Bytes
// by vpmaddubsw would overflow unless signs move from w to x for every product, which costs more.)
// int4 codes are at most 15, so vpmaddubsw takes them as bytes, and eight of its sums stay below
// 2^15 before they must be widened. As in gemm_avx2.cc a tile walks w in the order of memory and
// its sums rest in the first cache. The float32 part follows gemm.h. Bottleneck: the multiplier for
// many rows, DRAM for few. Measured: benchmarks/kernels/gemm_bench.
#include <immintrin.h>

#include "kernels/gemm/gemm_avx2_scale.h"
#include "kernels/gemm/gemm_avx2_store.h"
#include "kernels/gemm/gemm_int_groups.h"
#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

ONEAI_INLINE __m256i Load(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}
ONEAI_INLINE void Store(void* to, __m256i x) { _mm256_storeu_si256(static_cast<__m256i*>(to), x); }

// sum += products of w and x, neighbours added. Assembly, because GCC 12 changes the order of such
// additions until sums no longer fit the registers.
ONEAI_INLINE void AddWords(__m256i& sum, __m256i w, __m256i x) {
  __m256i products;
  __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(products) : "x"(w), "x"(x));
}
ONEAI_INLINE void AddBytes(__m256i& sum, __m256i w, __m256i x) {
  __m256i products;
  __asm__("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0"
          : "+x"(sum), "=&x"(products)
          : "x"(w), "x"(x));
}

// A line of a panel holds 4 k of 16 outputs.
template <int kRows, int kTileK>
class Int8Step {
 public:
  static constexpr int32_t kShift = 128;                      // of stored codes
  static constexpr int64_t kBytes = kTileK / 4 * kLineBytes;  // of a tile

  // `codes` are those of the first row, the next are kCodeStep on.
  explicit ONEAI_INLINE Int8Step(const int8_t* codes) {
    for (int r = 0; r < kRows; ++r) {
      for (int i = 0; i < kQuads; i += 8) {
        const __m256i eight = Load(codes + r * kCodeStep + i * 4);
        Store(even_[r] + i, _mm256_srai_epi16(_mm256_slli_epi16(eight, 8), 8));
        Store(odd_[r] + i, _mm256_srai_epi16(eight, 8));
      }
    }
  }

  // Adds x w of a tile of one panel to the sums, or starts them with it.
  ONEAI_INLINE void Multiply(const std::byte* w, bool starts, Stream& ahead, int32_t* sums) const {
    __m256i low[kRows], high[kRows];  // outputs 0-7 and 8-15
    for (int r = 0; r < kRows; ++r) {
      low[r] = starts ? _mm256_setzero_si256() : Load(sums + r * kBlockOutputs);
      high[r] = starts ? _mm256_setzero_si256() : Load(sums + r * kBlockOutputs + 8);
    }
#pragma GCC unroll 2
    for (int i = 0; i < kTileK / 4; ++i) {
      const std::byte* line = w + i * kLineBytes;
      ahead.Ask<1>(i);
      const __m256i mask = _mm256_set1_epi16(0xff);
      const __m256i even_low = _mm256_and_si256(Load(line), mask);
      const __m256i even_high = _mm256_and_si256(Load(line + 32), mask);
      for (int r = 0; r < kRows; ++r) {
        const __m256i x = _mm256_set1_epi32(even_[r][i]);
        AddWords(low[r], even_low, x);
        AddWords(high[r], even_high, x);
      }
      __asm__("" : "+r"(line));  // Read again: registers are scarcer than loads.
      const __m256i odd_low = _mm256_srli_epi16(Load(line), 8);
      const __m256i odd_high = _mm256_srli_epi16(Load(line + 32), 8);
      for (int r = 0; r < kRows; ++r) {
        const __m256i x = _mm256_set1_epi32(odd_[r][i]);
        AddWords(low[r], odd_low, x);
        AddWords(high[r], odd_high, x);
      }
    }
    for (int r = 0; r < kRows; ++r) {
      Store(sums + r * kBlockOutputs, low[r]);
      Store(sums + r * kBlockOutputs + 8, high[r]);
    }
  }

 private:
  static constexpr int kQuads = kTileK < 32 ? 8 : kTileK / 4;  // whole registers

  // Two codes in each, of 16 bits.
  alignas(32) int32_t even_[kRows][kQuads];
  alignas(32) int32_t odd_[kRows][kQuads];
};

// A line of a panel holds 8 k of 16 outputs.
template <int kRows, int kTileK>
class Int4Step {
 public:
  static constexpr int32_t kShift = 0;
  static constexpr int64_t kBytes = kTileK / 8 * kLineBytes;

  explicit ONEAI_INLINE Int4Step(const int8_t* codes) : codes_(codes) {}

  ONEAI_INLINE void Multiply(const std::byte* w, bool starts, Stream& ahead, int32_t* sums) const {
    for (int i = 0; i < kTileK / 8; i += kLines) AddLines(w, i, starts && i == 0, ahead, sums);
  }

 private:
  // Four lines are 8 times 2 products of at most 15 * 127.
  static constexpr int kLines = kTileK < 32 ? kTileK / 8 : 4;

  // Lines [begin, begin + kLines), whose sums fit 16 bits.
  ONEAI_INLINE void AddLines(const std::byte* w, int begin, bool starts, Stream& ahead,
                             int32_t* sums) const {
    __m256i low[kRows], high[kRows];  // 16-bit sums, two per output
#pragma GCC unroll 4
    for (int i = begin; i < begin + kLines; ++i) {
      const std::byte* line = w + i * kLineBytes;
      ahead.Ask<1>(i);
      const __m256i mask = _mm256_set1_epi8(0x0f);
      AddQuad(_mm256_and_si256(Load(line), mask), _mm256_and_si256(Load(line + 32), mask), i * 8,
              i == begin, low, high);
      __asm__("" : "+r"(line));  // Read again: registers are scarcer than loads.
      AddQuad(_mm256_and_si256(_mm256_srli_epi16(Load(line), 4), mask),
              _mm256_and_si256(_mm256_srli_epi16(Load(line + 32), 4), mask), i * 8 + 4, false, low,
              high);
    }
    const __m256i ones = _mm256_set1_epi16(1);
    for (int r = 0; r < kRows; ++r) {
      low[r] = _mm256_madd_epi16(low[r], ones);
      high[r] = _mm256_madd_epi16(high[r], ones);
    }
    for (int r = 0; r < kRows; ++r, sums += kBlockOutputs) {
      Store(sums, starts ? low[r] : _mm256_add_epi32(Load(sums), low[r]));
      Store(sums + 8, starts ? high[r] : _mm256_add_epi32(Load(sums + 8), high[r]));
    }
  }

  ONEAI_INLINE void AddQuad(__m256i w_low, __m256i w_high, int k, bool is_first,
                            __m256i (&low)[kRows], __m256i (&high)[kRows]) const {
    for (int r = 0; r < kRows; ++r) {
      int32_t quad;
      __builtin_memcpy(&quad, codes_ + r * kCodeStep + k, 4);
      const __m256i x = _mm256_set1_epi32(quad);
      if (is_first) {
        low[r] = _mm256_maddubs_epi16(w_low, x);
        high[r] = _mm256_maddubs_epi16(w_high, x);
      } else {
        AddBytes(low[r], w_low, x);
        AddBytes(high[r], w_high, x);
      }
    }
  }

  const int8_t* const codes_;
};

template <template <int, int> class Step>
struct IntTiles {
  template <int kRows, int kPanels>
  struct Tile {
    static void Run(const GemmTask& task, const TileWork& work) {
      const int64_t tile_k = task.w->layout().tile_k;
      if (work.first) ClearSums<kRows, kPanels>(work.carry);
      ForEachPiece(task, work, [&](const GroupPiece& piece) {
        if (tile_k == kCodeStep) {
          RunPiece<kCodeStep>(piece);
        } else if (tile_k == 32) {
          RunPiece<32>(piece);
        } else {
          RunPiece<16>(piece);
        }
        if (!piece.completes) return;
        Avx2Scale::AddGroup<kRows, kPanels, Step<kRows, kCodeStep>::kShift>(task, work, piece.group,
                                                                            piece.group_data);
      });
      if (work.last) StoreSums<kRows, kPanels>(task, work);
    }

    // A function of its own, so that all registers are for its sums.
    template <int kTileK>
    static __attribute__((noinline)) void RunPiece(const GroupPiece& piece) {
      Stream ahead(piece);
      const std::byte* w = piece.w;
      for (int64_t k = piece.k; k < piece.k_end; k += kTileK, w += piece.w_step) {
        const Step<kRows, kTileK> x(piece.CodesAt(k));
        const bool starts = k == piece.k && !piece.continues;
        ahead.Step(w);
        for (int p = 0; p < kPanels; ++p) {
          x.Multiply(w + p * x.kBytes, starts, ahead, piece.sums + p * 16);
        }
      }
    }
  };
};

template <int kRows, int kPanels>
using Int8Tile = IntTiles<Int8Step>::Tile<kRows, kPanels>;
template <int kRows, int kPanels>
using Int4Tile = IntTiles<Int4Step>::Tile<kRows, kPanels>;

}  // namespace

void GemmAvx2Int8(const GemmTask& task) { ForEachTile<Int8Tile, 6, 4>(task); }

void GemmAvx2Int4(const GemmTask& task) { ForEachTile<Int4Tile, 6, 4>(task); }

}  // namespace oneai::kernels
