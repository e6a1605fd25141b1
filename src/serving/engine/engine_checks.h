// File: serving/engine/engine_checks.h
//
// What the engine refuses before it starts anything.
#pragma once

#include "absl/status/status.h"
#include "serving/engine/engine.h"

namespace oneai::serving {

// Most prompt tokens of a step whose log-probabilities are wanted: each costs a row of logits.
inline constexpr int64_t kScoredChunkTokens = 32;

// See Engine::Create and Engine::Submit.
absl::Status CheckOptions(const EngineOptions& options, const ModelRunner& runner,
                          const TokenTable& tokens, const ModelRunner* draft);
absl::Status CheckRequest(const GenerationRequest& request, int64_t max_context_tokens,
                          const ModelRunner& runner);

// How many guesses at the next tokens of a running sequence are worth verifying, at `cost` of one
// as a share of a step.
int64_t DraftsFor(Sequence& sequence, const EngineOptions& options, double cost);

}  // namespace oneai::serving
