// File: serving/sampling/token_sampler.h
//
// Chooses the tokens of one sequence. The draw of output token i is Philox at (seed, i), so a
// request gives the same tokens whatever else is in the batch, however its prompt was cut into
// chunks, and however often it was preempted.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/sampling/sampling.h"
#include "serving/sampling/sampling_settings.h"

namespace oneai::serving {

// Thread-compatible.
class TokenSampler {
 public:
  // `end_ids` are the model's end tokens. Ids from `num_tokens_known` on are never chosen: a
  // model's head is often padded beyond its tokenizer's vocabulary.
  TokenSampler(const SamplingSettings& settings, absl::Span<const int32_t> prompt,
               std::vector<int32_t> end_ids, int64_t num_tokens_known);

  // Chooses output token number `num_generated()` from a row of logits, which it overwrites, and
  // counts it. kInternal: no token has a finite logit (a broken checkpoint or kernel).
  absl::StatusOr<int32_t> Sample(absl::Span<float> logits, kernels::SamplingScratch& scratch);

  // True when `token` ends the text: an end token, or one of stop_token_ids.
  bool IsEnd(int32_t token) const;
  int64_t num_generated() const { return num_generated_; }

 private:
  void Penalise(absl::Span<float> logits) const;

  const SamplingSettings settings_;
  std::vector<int32_t> end_ids_;  // stop_token_ids, and the model's unless ignore_eos
  const int64_t num_tokens_known_;
  absl::flat_hash_map<int32_t, int32_t> times_output_;  // 0 for tokens of the prompt
  int64_t num_generated_ = 0;
};

}  // namespace oneai::serving
