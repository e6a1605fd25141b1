// File: serving/engine/sequence.h
//
// A request inside the engine: its tokens so far, how the next is chosen, and how tokens become
// text.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "models/tokenizer/tokenizer.h"
#include "serving/engine/engine_observer.h"
#include "serving/engine/generation.h"
#include "serving/engine/generation_stream.h"
#include "serving/sampling/token_sampler.h"
#include "serving/scheduler/batch_plan.h"
#include "serving/text/stop_matcher.h"

namespace oneai::serving {

// The tokens of a model, as the engine needs to know them.
struct TokenTable {
  int64_t num_tokens = 0;                        // ids from here on are never sampled
  std::vector<int32_t> end_ids;                  // the model's end tokens
  const models::Tokenizer* tokenizer = nullptr;  // null: tokens only, no text and no stop strings
};

// Thread-compatible; used on the engine thread.
class Sequence {
 public:
  // `tokens` must outlive the sequence.
  Sequence(SequenceId id, int64_t arrival, GenerationRequest request, const TokenTable& tokens,
           std::shared_ptr<GenerationStream> stream, absl::Time submitted);

  // Chooses the next token from a row of logits (overwritten), adds it and pushes what may be
  // shown. The last event is pushed by Finish, not here. Returns true when the answer is complete.
  // kInternal: see TokenSampler.
  absl::StatusOr<bool> AddToken(absl::Span<float> logits, kernels::SamplingScratch& scratch);
  // Pushes the last event. `status` not OK: kCancelled for code kCancelled, else kError; otherwise
  // how AddToken ended.
  void Finish(const absl::Status& status);

  SequenceView View() const;
  // The next `num_tokens` that are not computed.
  absl::Span<const int32_t> NextTokens(int64_t num_tokens) const {
    return absl::MakeConstSpan(tokens).subspan(num_computed, num_tokens);
  }
  TokenUsage Usage() const;
  FinishReason finish_reason() const { return finish_reason_; }

  const SequenceId id;
  const int64_t arrival;
  const GenerationRequest request;
  const std::shared_ptr<GenerationStream> stream;
  const absl::Time submitted;

  int64_t tenant = 0;  // index in the ledger
  std::vector<int32_t> tokens;
  int64_t num_computed = 0;
  bool resumed = false;
  absl::Time admitted = absl::InfiniteFuture();  // first time
  absl::Time first_token = absl::InfiniteFuture();
  absl::Time last_token = absl::InfiniteFuture();
  absl::Time paused_since = absl::InfiniteFuture();  // the reader is behind since then

 private:
  // Passes text through the stop strings; may set finish_reason_.
  std::string Filter(std::string text);

  TokenSampler sampler_;
  std::optional<models::StreamDecoder> characters_;
  StopMatcher stops_;
  FinishReason finish_reason_ = FinishReason::kNone;
  std::string stop_string_;
};

}  // namespace oneai::serving
