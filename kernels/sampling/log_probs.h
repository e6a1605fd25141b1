// Log-probabilities of a row of logits, as APIs report them.
#pragma once

#include <cstdint>

#include "absl/types/span.h"

namespace oneai::kernels {

// Writes the ids and log-probabilities of the `k` largest logits, largest first, the lower id first
// on ties, and behind them the log-probabilities of the ids `also_of`, each in [0, logits.size()).
//   ids       [k]
//   logprobs  [k + also_of.size()]
// Where fewer than k logits are above -infinity, the rest are id -1 with -infinity. log(sum exp) is
// taken in float64 in a fixed order (a relative error of the sum below 2^-45), so a value is its
// float32 logit minus it, rounded once; it depends on nothing but the row. NaN counts as -infinity;
// a logit of +infinity gives NaN. Allocates nothing.
void LogProbs(absl::Span<const float> logits, int64_t k, int32_t* ids, float* logprobs,
              absl::Span<const int32_t> also_of);

// log(sum_i exp(logits[i])) as above; -infinity for a row without a logit above it.
double LogSumExpOf(absl::Span<const float> logits);

}  // namespace oneai::kernels
