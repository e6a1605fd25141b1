// File: serving/engine/prompt_lookup.h
//
// Guesses that the text goes on as it did the last time its latest tokens occurred in it: free, and
// right where an answer repeats its prompt (summaries, code edits, quotations). Source: prompt
// lookup decoding, github.com/apoorvumang/prompt-lookup-decoding; Hugging Face's
// prompt_lookup_num_tokens.
#pragma once

#include "serving/engine/drafter.h"

namespace oneai::serving {

// What followed the latest earlier occurrence of the longest suffix of `tokens` of at most
// `ngram_max` and at least `ngram_min` tokens; at most `num_max` tokens. Empty: there was none.
// Looks at the last kLookupWindow tokens.
absl::Span<const int32_t> LookUpContinuation(absl::Span<const int32_t> tokens, int64_t ngram_min,
                                             int64_t ngram_max, int64_t num_max);

inline constexpr int64_t kLookupWindow = 8192;

class PromptLookup final : public Drafter {
 public:
  absl::Status Propose(absl::Span<const DraftJob> jobs) override;
  void Forget(SequenceId) override {}
};

}  // namespace oneai::serving
