// A heap of the best k so far, the worst of them on top. Almost every block of logits lies below it
// and is recognised by its maximum; within the others, so is almost every stretch of 64.
#include "kernels/sampling/largest.h"

#include <algorithm>
#include <limits>

#include "kernels/sampling/row_passes.h"

namespace oneai::kernels {
namespace {

constexpr int64_t kStretch = 64;
static_assert(kRowBlock % kStretch == 0);

// Whether any is above `bound`; no early exit, so that it is vectorised.
bool AnyAbove(const float* logits, int64_t count, float bound) {
  int any = 0;
  for (int64_t i = 0; i < count; ++i) any |= logits[i] > bound ? 1 : 0;
  return any != 0;
}

}  // namespace

int64_t LargestLogits(const float* logits, int64_t vocab, int64_t k, const float* block_max,
                      int32_t* ids) {
  if (k <= 0) return 0;
  // Orders by logit and then by index; the heap's top is the one to give way first.
  const auto better = [logits](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  int64_t count = 0;
  float bound = -std::numeric_limits<float>::infinity();  // of what is worth a look
  for (int64_t begin = 0; begin < vocab; begin += kStretch) {
    if (!(block_max[begin / kRowBlock] > bound)) {
      begin = (begin / kRowBlock + 1) * kRowBlock - kStretch;
      continue;
    }
    const int64_t size = std::min(kStretch, vocab - begin);
    if (!AnyAbove(logits + begin, size, bound)) continue;
    for (int64_t i = begin; i < begin + size; ++i) {
      if (!(logits[i] > bound)) continue;
      if (count == k) {
        std::pop_heap(ids, ids + count, better);
        --count;
      }
      ids[count++] = static_cast<int32_t>(i);
      std::push_heap(ids, ids + count, better);
      // Later logits equal to the worst lose to it: they have the higher index.
      if (count == k) bound = logits[ids[0]];
    }
  }
  std::sort_heap(ids, ids + count, better);
  return count;
}

}  // namespace oneai::kernels
