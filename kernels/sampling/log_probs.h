// Log-probabilities of a row of logits, as APIs report them.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/sampling/sampling.h"

namespace oneai::kernels {

// Returns log(sum exp(logits)), so that the log-probability of any token is its logit minus that,
// and writes ids and log-probabilities of the `k` largest among the first `num_known` logits,
// largest first, the lower id first on ties.
//   ids, logprobs  [k]
// Where fewer than k logits are above -infinity, the rest are id -1 with -infinity. The sum is
// taken block by block in a fixed order with a relative error below 2^-19, so a log-probability is
// off by at most 2e-6 and its own rounding; it depends on nothing but the row. NaN counts as
// -infinity; a row with a logit of +infinity, or without one above -infinity, gives that. Allocates
// nothing once `scratch` has grown.
double TopLogProbs(absl::Span<const float> logits, int64_t num_known, int64_t k, int32_t* ids,
                   float* logprobs, SamplingScratch& scratch);

}  // namespace oneai::kernels
