#include "kernels/sampling/log_probs.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/sampling/largest.h"
#include "kernels/sampling/row_passes.h"

namespace oneai::kernels {

double TopLogProbs(absl::Span<const float> logits, int64_t num_known, int64_t k, int32_t* ids,
                   float* logprobs, SamplingScratch& s) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const RowPasses& passes = PickedRowPasses();
  const int64_t vocab = static_cast<int64_t>(logits.size());
  s.block_max.resize(NumRowBlocks(vocab));
  passes.block_max(logits.data(), vocab, s.block_max.data());
  double total = -kInf;
  for (const float max : s.block_max) total = std::max(total, double{max});
  if (std::isfinite(total)) {
    s.block_sums.resize(NumRowBlocks(vocab));
    passes.exp_sums(logits.data(), vocab, static_cast<float>(total), s.block_sums.data());
    double sum = 0;
    for (const double x : s.block_sums) sum += x;
    total += std::log(sum);
  }
  const int64_t count =
      LargestLogits(logits.data(), std::min(num_known, vocab), k, s.block_max.data(), ids);
  for (int64_t i = 0; i < k; ++i) {
    if (i >= count) ids[i] = -1;
    logprobs[i] = i < count ? static_cast<float>(double{logits[ids[i]]} - total) : -kInf;
  }
  return total;
}

}  // namespace oneai::kernels
