// File: model_platform/evaluate/rolling_windows.h
//
// How a document longer than the context is scored: every token exactly once.
#pragma once

#include <cstdint>
#include <vector>

namespace oneai::platform {

// One forward pass. Positions count in the sequence [prefix, token 0, token 1, ...] of a document.
struct RollingWindow {
  int64_t input_begin = 0;  // first position that is fed
  int64_t input_count = 0;
  int64_t score_count = 0;  // the last so many inputs' predictions are scored

  bool operator==(const RollingWindow&) const = default;
};

// Windows for a document of `num_tokens` tokens. The first begins with the prefix token; each next
// one begins with the last token that has been scored (one token of context); the last one reaches
// back to be of full length, but scores only what is left. Source: lm-evaluation-harness,
// utils.get_rolling_token_windows with context_len 1.
std::vector<RollingWindow> RollingWindows(int64_t num_tokens, int64_t max_length);

}  // namespace oneai::platform
