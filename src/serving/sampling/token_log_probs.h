// File: serving/sampling/token_log_probs.h
//
// Log-probabilities that are reported to the user.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace oneai::serving {

// Log-probabilities (natural logarithm) of one token under the model's own distribution: after
// temperature 1, before penalties, bias and filters, as OpenAI and vLLM report them.
struct TokenLogProbs {
  float chosen = 0;
  std::vector<int32_t> top_ids;   // best first, the lower id first on ties
  std::vector<float> top_values;  // beside top_ids
};

// Of `token` and the `num_top` best ids below `num_tokens_known`, from a row of raw logits. The sum
// is float64 in the order of the ids, so equal rows give equal bits.
TokenLogProbs LogProbsOf(absl::Span<const float> logits, int32_t token, int32_t num_top,
                         int64_t num_tokens_known);

}  // namespace oneai::serving
