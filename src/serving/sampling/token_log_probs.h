// File: serving/sampling/token_log_probs.h
//
// Log-probabilities that are reported to the user.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/sampling/sampling.h"

namespace oneai::serving {

// Log-probabilities (natural logarithm) of one token under the model's own distribution: after
// temperature 1, before penalties, bias and filters, as OpenAI and vLLM report them.
struct TokenLogProbs {
  float chosen = 0;
  std::vector<int32_t> top_ids;   // best first, the lower id first on ties
  std::vector<float> top_values;  // beside top_ids
};

// Of the `num_top` best ids below `num_tokens_known`, from a row of raw logits. Returns the
// logarithm of the row's sum, by which a logit exceeds its log-probability. Equal rows give equal
// bits.
double SetTop(absl::Span<const float> logits, int32_t num_top, int64_t num_tokens_known,
              kernels::SamplingScratch& scratch, TokenLogProbs& log_probs);

// The same, and of `token`.
TokenLogProbs LogProbsOf(absl::Span<const float> logits, int32_t token, int32_t num_top,
                         int64_t num_tokens_known, kernels::SamplingScratch& scratch);

}  // namespace oneai::serving
