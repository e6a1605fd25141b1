// The largest of a row of logits, without sorting it.
#pragma once

#include <cstdint>

namespace oneai::kernels {

// `block_max` are the maxima of the row's blocks (row_passes.h). Writes the indices of the min(k,
// vocab) largest logits, largest first, the lower index first on ties; NaN and -infinity are never
// chosen. Returns how many there were. O(vocab / 256 + k log^2 k) for k far below vocab: a block
// that holds none is passed over with one comparison.
int64_t LargestLogits(const float* logits, int64_t vocab, int64_t k, const float* block_max,
                      int32_t* ids);

}  // namespace oneai::kernels
