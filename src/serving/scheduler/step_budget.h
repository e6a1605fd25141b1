// File: serving/scheduler/step_budget.h
//
// How many prompt tokens a step may compute beside decodes, so that those who read an answer do not
// wait long for its next token (arXiv:2308.16369 calls it stall-free batching): as many as take a
// given time, by what prompt tokens took lately.
#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"

namespace oneai::serving {

// Thread-compatible. Decides how prompts are cut, which no answer depends on.
class StepBudget {
 public:
  // Steps with fewer tokens are bound by memory and say little about what a prompt token costs.
  static constexpr int64_t kTokensToLearnFrom = 64;
  // However slow the model: a prompt must come to its end.
  static constexpr int64_t kPromptTokensMin = 32;

  void RecordStep(int64_t num_tokens, absl::Duration time) {
    if (num_tokens < kTokensToLearnFrom) return;
    const double cost = absl::ToDoubleSeconds(time) / static_cast<double>(num_tokens);
    token_s_ = token_s_ == 0 ? cost : token_s_ + kWeight * (cost - token_s_);
  }

  // At least kPromptTokensMin and at most `most`, which it is as long as nothing is known.
  int64_t TokensWithin(absl::Duration time, int64_t most) const {
    if (token_s_ <= 0 || time == absl::InfiniteDuration()) return most;
    const double tokens = absl::ToDoubleSeconds(time) / token_s_;
    if (tokens >= static_cast<double>(most)) return most;
    return std::min(most, std::max(kPromptTokensMin, static_cast<int64_t>(tokens)));
  }

 private:
  static constexpr double kWeight = 0.2;
  double token_s_ = 0;  // 0: unknown
};

}  // namespace oneai::serving
