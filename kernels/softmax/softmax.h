// Log-softmax and cross-entropy over vocabulary rows, in float32.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/cpu/variant.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

//   logits [num_rows, vocab] float32, rows `stride` elements apart
struct LogitsView {
  const float* logits = nullptr;
  int64_t stride = 0;
  int64_t num_rows = 0;
  int64_t vocab = 0;
};

// lse[r] = log(sum_i exp(logits[r][i])), with the row's maximum taken out first. The sum goes over
// 16 lanes in a fixed order (batch-invariant). A row of -inf only gives -inf. vocab >= 1.
void LogSumExp(const LogitsView& x, float* lse, KernelContext& ctx);

// out[r][i] = logits[r][i] - lse[r]; rows `out_stride` elements apart; out may be the logits.
void LogSoftmax(const LogitsView& x, float* out, int64_t out_stride, KernelContext& ctx);

// Label of a row that has no loss.
inline constexpr int64_t kIgnoreLabel = -100;

// loss[r] = lse[r] - logits[r][label[r]], or 0 where label[r] == kIgnoreLabel. Other labels must be
// in [0, vocab).
void CrossEntropy(const LogitsView& x, const int64_t* label, float* loss, KernelContext& ctx);

// log-sum-exp of one row.
using LogSumExpFn = float (*)(const float* row, int64_t vocab);
absl::Span<const Variant<LogSumExpFn>> LogSumExpVariants();

}  // namespace oneai::kernels
