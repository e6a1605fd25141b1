// File: serving/engine/engine_observer.h
//
// What the engine reports as it works, for metrics. Called on the engine thread; must not block.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "serving/engine/generation.h"

namespace oneai::serving {

struct StepReport {
  int64_t num_batch_tokens = 0;
  int64_t num_prompt_tokens = 0;  // of them, computed for the first time
  int64_t num_output_tokens = 0;
  int64_t num_preempted = 0;
  absl::Duration forward_time;
};

// Times since submission; zero when the request did not get so far.
struct RequestReport {
  FinishReason finish_reason = FinishReason::kNone;
  TokenUsage usage;
  int64_t max_tokens = 0;
  absl::Duration queue_time;  // until first admitted
  absl::Duration to_first_token;
  absl::Duration total;
};

class EngineObserver {
 public:
  virtual ~EngineObserver() = default;
  virtual void OnStep(const StepReport& report) = 0;
  virtual void OnFirstToken(absl::Duration since_submission) = 0;
  virtual void OnNextToken(absl::Duration since_previous) = 0;
  virtual void OnFinished(const RequestReport& report) = 0;
};

}  // namespace oneai::serving
