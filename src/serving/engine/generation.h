// File: serving/engine/generation.h
//
// What the engine is asked for and what it answers, as plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "serving/sampling/sampling_settings.h"
#include "serving/sampling/token_log_probs.h"
#include "serving/text/thought_budget.h"

namespace oneai::serving {

class CompiledGrammar;  // serving/grammar/grammar.h

// What a request wants of the model. kText: tokens after the prompt. kHidden: the final-normed
// hidden state of the prompt's last token, which embedding models are trained to put their meaning
// in. kScores: the outputs at the prompt's last token of `score_ids`, or of every label of a
// classifier.
enum class RequestKind : uint8_t { kText, kHidden, kScores };

struct GenerationRequest {
  std::string tenant;
  int32_t priority = 0;
  std::vector<int32_t> prompt;
  SamplingSettings sampling;
  absl::Time deadline = absl::InfiniteFuture();

  RequestKind kind = RequestKind::kText;
  std::vector<int32_t> score_ids;  // kScores of a language model: at least one token id

  // Answers to the same prompt, which is computed once: `best_of` are generated, the `num_choices`
  // with the highest mean log-probability are given. 1 <= num_choices <= best_of <= 64.
  int32_t num_choices = 1;
  int32_t best_of = 1;
  std::shared_ptr<const CompiledGrammar> grammar;  // null: free text
  ThoughtLimit thoughts;                           // how long the model may think
  int32_t adapter = -1;                            // LoRA adapter of the runner; -1: none
  // Part of every prefix-cache key, beside the tenant: requests share cached prompts only within
  // one tenant and salt.
  std::string cache_salt;
};

// kStop: an end token or stop string, or the grammar is complete; kLength: max_tokens; kCancelled:
// the reader went away; kError: see the status.
enum class FinishReason { kNone, kStop, kLength, kCancelled, kError };

struct TokenUsage {
  int64_t num_prompt_tokens = 0;
  int64_t num_completion_tokens = 0;     // of all choices
  int64_t num_cached_prompt_tokens = 0;  // found in the prefix cache
};

// A piece of an answer. Text may lag behind the tokens: unfinished characters and possible stop
// strings are held back.
struct GenerationEvent {
  int32_t choice = 0;  // 0 .. num_choices - 1
  std::string text;
  std::vector<int32_t> token_ids;
  std::vector<TokenLogProbs> logprobs;         // beside token_ids, when sampling.logprobs >= 0
  std::vector<TokenLogProbs> prompt_logprobs;  // once, when asked for: of prompt tokens 1, 2, ...
  std::vector<float> values;                   // kHidden: [hidden_size]; kScores: one per score
  FinishReason finish_reason = FinishReason::kNone;  // kNone: more of this choice will come
  std::string stop_string;
  TokenUsage usage;           // in the last event
  absl::Status status;        // not OK only with kCancelled and kError
  bool ends_request = false;  // the last event of the last choice

  bool last() const { return ends_request; }
};

}  // namespace oneai::serving
