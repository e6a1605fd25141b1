// File: serving/engine/generation.h
//
// What the engine is asked for and what it answers, as plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "serving/sampling/sampling_settings.h"

namespace oneai::serving {

struct GenerationRequest {
  std::string tenant;
  int32_t priority = 0;
  std::vector<int32_t> prompt;
  SamplingSettings sampling;
  absl::Time deadline = absl::InfiniteFuture();
};

// kStop: an end token or stop string; kLength: max_tokens; kCancelled: the reader went away;
// kError: see the status.
enum class FinishReason { kNone, kStop, kLength, kCancelled, kError };

struct TokenUsage {
  int64_t num_prompt_tokens = 0;
  int64_t num_completion_tokens = 0;
};

// A piece of an answer. Text may lag behind the tokens: unfinished characters and possible stop
// strings are held back.
struct GenerationEvent {
  std::string text;
  std::vector<int32_t> token_ids;
  FinishReason finish_reason = FinishReason::kNone;  // kNone: more will come
  std::string stop_string;
  TokenUsage usage;     // in the last event
  absl::Status status;  // not OK only with kCancelled and kError

  bool last() const { return finish_reason != FinishReason::kNone; }
};

}  // namespace oneai::serving
