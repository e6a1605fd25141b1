// File: serving/scheduler/workload_replay.h
//
// The step planner and the block pool without a model: recorded or made-up requests run through
// them as the engine would run them, each step taking the time that a cost model says. It checks
// every promise of PlanBatch on the way.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "serving/scheduler/batch_plan.h"
#include "serving/scheduler/workload.h"

namespace oneai::serving {

// Seconds of a step: step_s, and for every token of a prompt's chunk prompt_token_s and
// prompt_context_s per token before it; for every other token decode_token_s and decode_context_s
// per token before it. The defaults are of the order of an 8B model on one GPU, whose prompts are
// bound by arithmetic and whose decodes by memory.
struct StepCost {
  double step_s = 0.006;
  double prompt_token_s = 3e-5;
  double prompt_context_s = 1.5e-9;
  double decode_token_s = 5e-5;
  double decode_context_s = 4e-8;
};

struct ReplayOptions {
  int64_t num_blocks = 4096;
  int64_t block_tokens =
      16;  // with the prefix cache, of recorded sharing: divides kRecordedBlockTokens
  BatchLimits limits = {2048, 64};
  StepCost cost;
  bool prefix_cache = true;
  // Of a model with recurrent layers: slots of state, at least max_running_sequences; 0: it has
  // none. Snapshots are kept as the engine does: at the last whole block of a prompt, where prompts
  // part, and after every so many tokens.
  int64_t num_states = 0;
  int64_t state_interval_tokens = 1024;
  // Guesses at each next token, and the share of them that is right.
  int64_t drafts_max = 0;
  double share_right = 0.7;
  double ttft_slo_s = 2, itl_slo_s = 0.05;  // of goodput; the latter of a request's mean
};

struct ReplayReport {
  int64_t num_requests = 0;  // finished
  int64_t num_too_long = 0;  // dropped: more tokens than the pool holds
  int64_t num_steps = 0;
  int64_t num_preemptions = 0;
  double seconds = 0;
  double ttft_p50_s = 0, ttft_p99_s = 0;
  double itl_p50_s = 0, itl_p99_s = 0;
  double wait_s_max = 0;  // until first admitted
  double goodput_per_s = 0;
  double output_tokens_per_s = 0;
  double tokens_per_decode = 1;  // of a sequence and step, with the guesses that were right
  // Of the blocks (or tokens) of all prompts, those found in the cache.
  double block_hit_share = 0, token_hit_share = 0;
};

// kInternal, saying what and when: a promise of batch_plan.h or of a pool was broken - a budget
// exceeded, a block or a state lost or not there, a step without progress, a starving request
// overtaken.
absl::StatusOr<ReplayReport> Replay(absl::Span<const RecordedRequest> requests,
                                    const ReplayOptions& options);

}  // namespace oneai::serving
