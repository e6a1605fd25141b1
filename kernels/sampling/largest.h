// The largest of a row of logits, without sorting it.
#pragma once

#include <cstdint>

namespace oneai::kernels {

// Writes the indices of the min(k, vocab) largest logits, largest first, the lower index first on
// ties; NaN and -infinity are never chosen. Returns how many there were. O(vocab + k log^2 k) for k
// far below vocab: a block of logits that holds none is passed over with a few comparisons.
int64_t LargestLogits(const float* logits, int64_t vocab, int64_t k, int32_t* ids);

}  // namespace oneai::kernels
