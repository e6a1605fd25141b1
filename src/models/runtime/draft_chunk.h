// File: models/runtime/draft_chunk.h
//
// What a multi-token-prediction head reads (CpuModel::Draft).
#pragma once

#include <cstdint>

#include "absl/types/span.h"

namespace oneai::models {

// Consecutive positions p, p + 1, ... of one sequence whose final hidden states the model has
// computed, each with the token that follows it.
struct DraftChunk {
  absl::Span<const int32_t> next_tokens;  // at least one: the tokens at p + 1, p + 2, ...
  // [next_tokens.size(), hidden_size]: states of p, p + 1, ... as CpuModel::ForwardWithHidden gives
  // them, or, to guess further, as Draft gave them for the position before.
  absl::Span<const float> hidden;
  int64_t start_position = 0;  // p; the draft layer has seen all positions before it already
  // The sequence's cache blocks, as in SequenceChunk: the draft layer has a place in each.
  absl::Span<const int32_t> block_table;
  // The last this many positions get a row of logits; 0 only fills the draft layer's cache, as for
  // a prompt.
  int64_t num_logit_rows = 1;
};

}  // namespace oneai::models
