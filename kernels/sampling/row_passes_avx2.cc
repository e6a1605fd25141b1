#include <immintrin.h>

#include "kernels/sampling/row_passes_blocks.h"

namespace oneai::kernels {
namespace {

struct ScanIds {
  static constexpr int64_t kLanes = 8;
  typedef float F __attribute__((vector_size(32)));
  typedef int32_t I __attribute__((vector_size(32)));
  typedef double D __attribute__((vector_size(64)));
  static inline __attribute__((always_inline)) int64_t AppendIds(I wanted, int32_t first,
                                                                 int32_t* out) {
    uint32_t mask = static_cast<uint32_t>(_mm256_movemask_ps((__m256)wanted));
    int64_t count = 0;
    for (; mask != 0; mask &= mask - 1) out[count++] = first + __builtin_ctz(mask);
    return count;
  }
};

}  // namespace

const RowPasses kRowPassesAvx2 = RowPassesOf<ScanIds>::kPasses;

}  // namespace oneai::kernels
