#include <immintrin.h>

#include "kernels/sampling/row_passes_blocks.h"

namespace oneai::kernels {
namespace {

struct CompressIds {
  static constexpr int64_t kLanes = 16;
  typedef float F __attribute__((vector_size(64)));
  typedef int32_t I __attribute__((vector_size(64)));
  typedef double D __attribute__((vector_size(128)));
  static inline __attribute__((always_inline)) int64_t AppendIds(I wanted, int32_t first,
                                                                 int32_t* out) {
    const __mmask16 mask = _mm512_movepi32_mask((__m512i)wanted);
    const __m512i ids =
        _mm512_add_epi32(_mm512_set1_epi32(first),
                         _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    // To a register and then to memory: compressing stores are slow on AMD.
    _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(mask, ids));
    return __builtin_popcount(mask);
  }
};

}  // namespace

const RowPasses kRowPassesAvx512 = RowPassesOf<CompressIds>::kPasses;

}  // namespace oneai::kernels
