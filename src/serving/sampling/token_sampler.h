// File: serving/sampling/token_sampler.h
//
// Chooses the tokens of one sequence. The draw of output token i is Philox at (seed, i), so a
// request gives the same tokens whatever else is in the batch, however its prompt was cut into
// chunks, however often it was preempted, and whether or not its tokens were guessed in advance.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/sampling/sampling.h"
#include "serving/sampling/sampling_settings.h"

namespace oneai::serving {

// The seed of answer `choice` of a request with several; choice 0 has the request's own, so that it
// is the answer that the request would get alone.
uint64_t SeedOfChoice(uint64_t seed, int32_t choice);

// Thread-compatible.
class TokenSampler {
 public:
  // `end_ids` are the model's end tokens. Ids from `num_tokens_known` on are never chosen: a
  // model's head is often padded beyond its tokenizer's vocabulary.
  TokenSampler(const SamplingSettings& settings, absl::Span<const int32_t> prompt,
               std::vector<int32_t> end_ids, int64_t num_tokens_known);

  // Chooses output token number `num_generated()` from a row of logits, some of which it
  // overwrites, and counts it. In this order: logit_bias is added, penalties, `allowed` (a bit for
  // each id, bit id % 64 of word id / 64; empty: all), no end token before min_tokens (unless
  // nothing else is allowed), temperature and filters. kInternal: no token has a finite logit (a
  // broken checkpoint or kernel).
  absl::StatusOr<int32_t> Sample(absl::Span<float> logits, kernels::SamplingScratch& scratch,
                                 absl::Span<const uint64_t> allowed = {});
  // The logit that `token` had in the row, now `logits`, before the last Sample.
  float RawLogit(absl::Span<const float> logits, int32_t token) const;
  // Counts a token that was not chosen here, because nothing else was possible.
  void Take(int32_t token);
  // A guess at output token `index` from another model's logits, with the draw that Sample will
  // use there: the more the two models agree, the more often the guess is right.
  int32_t Guess(absl::Span<const float> logits, int64_t index,
                kernels::SamplingScratch& scratch) const;

  // True when `token` ends the text: an end token, or one of stop_token_ids.
  bool IsEnd(int32_t token) const;
  int64_t num_generated() const { return num_generated_; }

 private:
  bool has_penalties() const {
    return settings_.repetition_penalty != 1.0 || settings_.presence_penalty != 0.0 ||
           settings_.frequency_penalty != 0.0;
  }
  void AddBias(absl::Span<float> logits);
  void Penalise(absl::Span<float> logits);
  // Of the known ids; -1: none is finite.
  int32_t BestFinite(absl::Span<const float> logits) const;
  // As BestFinite, once no end token can be chosen if there is another.
  int32_t BestBeforeEnd(absl::Span<float> logits);
  int32_t ChooseOfAll(absl::Span<float> logits, kernels::SamplingScratch& scratch);
  // False, and nothing is gathered: they are many.
  bool GatherFew(absl::Span<const float> logits, absl::Span<const uint64_t> allowed);
  int32_t ChooseOfFew(kernels::SamplingScratch& scratch);
  int32_t Draw(absl::Span<const float> logits, int64_t index,
               kernels::SamplingScratch& scratch) const;
  kernels::SamplingParams Params() const;

  const SamplingSettings settings_;
  std::vector<int32_t> end_ids_;  // stop_token_ids, and the model's unless ignore_eos
  const int64_t num_tokens_known_;
  // With penalties; 0 for tokens of the prompt.
  absl::flat_hash_map<int32_t, int32_t> times_output_;
  int64_t num_generated_ = 0;
  std::vector<std::pair<int32_t, float>> hidden_ends_;  // reused
  // Allowed tokens where they are few, ascending, and their logits.
  std::vector<int32_t> few_ids_;
  std::vector<float> few_logits_;
  // Ids whose logits were changed, with what they were; the first entry of an id counts.
  std::vector<std::pair<int32_t, float>> raw_logits_;
};

}  // namespace oneai::serving
