// File: serving/sampling/sampling_settings.h
//
// How a request wants its tokens chosen and when it wants them to end, all defaults resolved.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace oneai::serving {

struct SamplingSettings {
  double temperature = 1.0;  // [0, 100]; 0 is greedy
  double top_p = 1.0;        // (0, 1]: the fewest best tokens that reach this probability
  int32_t top_k = 0;         // the k best tokens; 0: off
  double min_p = 0.0;  // [0, 1]: tokens with at least this share of the best one's probability
  double presence_penalty = 0.0;   // [-2, 2]: subtracted once from a token that was output before
  double frequency_penalty = 0.0;  // [-2, 2]: subtracted for every time it was
  double repetition_penalty =
      1.0;  // (0, 100]: divides the logit of a token in prompt or output (arXiv:1909.05858)
  uint64_t seed = 0;
  int64_t max_tokens = 16;        // at least 1; 0 with prompt_logprobs: the prompt alone
  int64_t min_tokens = 0;         // before it no end token is chosen and no stop string counts
  std::vector<std::string> stop;  // at most 16, of 1 to 256 bytes
  std::vector<int32_t> stop_token_ids;  // at most 16
  bool ignore_eos = false;
  bool include_stop = false;  // the stop string is part of the text
  // Added to the logits of these tokens, [-100, 100] each; ids in the vocabulary, none twice, at
  // most 1,024 of them.
  std::vector<std::pair<int32_t, float>> logit_bias;
  int32_t logprobs = -1;  // [0, 20]: report the token's log-probability and those of so many best
                          // ones; -1: nothing
  int32_t prompt_logprobs = -1;  // the same for the prompt's tokens (echo)
};

// kInvalidArgument: names the parameter, its value and what is allowed. NaN is never allowed.
absl::Status ValidateSampling(const SamplingSettings& settings);
// As ValidateSampling, for what depends on the model: token ids outside 0 to vocab_size - 1 and ids
// that are biased twice.
absl::Status ValidateTokenIds(const SamplingSettings& settings, int64_t vocab_size);

}  // namespace oneai::serving
