// File: serving/engine/sequence.h
//
// One answer inside the engine: its tokens so far, how the next is chosen, and how tokens become
// text.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "models/tokenizer/tokenizer.h"
#include "serving/engine/drafter.h"
#include "serving/engine/generation.h"
#include "serving/engine/request.h"
#include "serving/grammar/grammar_matcher.h"
#include "serving/sampling/token_sampler.h"
#include "serving/scheduler/batch_plan.h"
#include "serving/scheduler/block_hash.h"
#include "serving/text/stop_matcher.h"
#include "serving/text/thought_budget.h"

namespace oneai::serving {

// The tokens of a model, as the engine needs to know them.
struct TokenTable {
  int64_t num_tokens = 0;                        // ids from here on are never sampled
  std::vector<int32_t> end_ids;                  // the model's end tokens
  const models::Tokenizer* tokenizer = nullptr;  // null: tokens only, no text and no stop strings
  // Under a grammar, text that must come is appended without asking the model; see
  // GrammarMatcher::ForcedTokens for what that means for the tokens. Needs the tokenizer. Never for
  // requests that want log-probabilities.
  bool jump_ahead = true;
};

// A recurrent state beside a sequence's own: the one after its first `num_tokens` tokens.
struct StateAt {
  int64_t num_tokens = 0;
  int32_t slot = -1;
};

// Most answers of a request.
inline constexpr int32_t kChoicesMax = 64;

inline SequenceId IdOfChoice(int64_t request_number, int32_t choice) {
  return SequenceId{request_number * kChoicesMax + choice};
}

// Thread-compatible; used on the engine thread.
class Sequence {
 public:
  // Answer `choice` of `owner`; both `owner` and `tokens` must outlive it. Begins with the prompt.
  Sequence(ActiveRequest& owner, int32_t choice, const TokenTable& tokens,
           int64_t draft_tokens_max);

  // Chooses the next token from a row of logits (overwritten), for AddToken to add. Touches nothing
  // that sequences share, so that those of a step may be asked at once, each with its own scratch.
  void ChooseToken(absl::Span<float> logits, kernels::SamplingScratch& scratch);
  // Chooses the next token, unless that has been done, adds it, and pushes what may be shown. The
  // last event is that of LastEvent. Returns true when the answer is complete. kInternal: see
  // TokenSampler.
  absl::StatusOr<bool> AddToken(absl::Span<float> logits, kernels::SamplingScratch& scratch);
  // Takes the rows of logits [rows, width] of the computed prompt tokens from `position` on.
  void ScorePrompt(int64_t position, absl::Span<const float> rows, int64_t width,
                   kernels::SamplingScratch& scratch);
  // The answer to kHidden and kScores: completes it.
  void SetValues(std::vector<float> values);
  // Completes an answer of no tokens (max_tokens 0).
  void EndAfterPrompt() { finish_reason_ = FinishReason::kLength; }
  // What is left to show, once the answer is complete.
  GenerationEvent LastEvent();

  SequenceView View() const;
  // The next `num_tokens` that are not computed.
  absl::Span<const int32_t> NextTokens(int64_t num_tokens) const {
    return absl::MakeConstSpan(tokens).subspan(num_computed, num_tokens);
  }
  // Names of the first `num_blocks` blocks of `block_tokens` tokens each; all must be full.
  absl::Span<const BlockHash> Chain(const HashKey& key, const BlockHash& scope,
                                    int64_t block_tokens, int64_t num_blocks);
  // Drops guesses from the first one on that cannot be right.
  void TrimDrafts();
  // Its blocks are gone: everything is to be computed again.
  void Reset();

  bool prompt_is_scored() const { return num_scored_ >= num_prompt() - 1; }
  bool wants_prompt_scores() const {
    return choice == 0 && owner.request.sampling.prompt_logprobs >= 0 && !prompt_is_scored();
  }
  int64_t num_prompt() const { return owner.usage.num_prompt_tokens; }
  const TokenSampler& sampler() const { return sampler_; }

  ActiveRequest& owner;
  const int32_t choice;
  const SequenceId id;

  std::vector<int32_t> tokens;
  int64_t num_computed = 0;
  int64_t num_published = 0;  // blocks that the prefix cache knows
  bool resumed = false;
  int32_t state_slot = -1;           // of recurrent state; -1: none
  int64_t state_tokens = 0;          // that the state has seen
  std::vector<StateAt> step_states;  // that this step leaves in other slots, ascending
  // Where others went another way than the prompts before them: worth a snapshot.
  int64_t branch_tokens = 0;
  std::optional<BlockHash> moving_state;  // the snapshot that the next one replaces
  absl::Time last_token = absl::InfiniteFuture();
  std::vector<int32_t> drafts;  // guesses of this step
  DraftLength draft_length;

 private:
  bool wants_log_probs() const {
    return owner.request.sampling.logprobs >= 0 || owner.chooses_best();
  }
  // Adds an output token to `event`; may set finish_reason_.
  void Accept(int32_t token, GenerationEvent& event);
  // Moves the grammar on by the token that was added, appends what is forced after it, and finds
  // out what is allowed next; may set finish_reason_.
  void FollowGrammar(int32_t token, GenerationEvent& event);
  void JumpAhead(GenerationEvent& event);
  // Once the thoughts have become too long: leaves only the token that ends them.
  void EndThoughts();
  // Passes text through the stop strings; may set finish_reason_.
  std::string Filter(std::string text);

  const TokenTable& table_;
  TokenSampler sampler_;
  std::optional<GrammarMatcher> grammar_;  // nullopt: free text
  std::vector<uint64_t> allowed_;          // next; empty: all
  std::optional<models::StreamDecoder> characters_;
  StopMatcher stops_;
  ThoughtBudget thoughts_;
  std::vector<BlockHash> chain_;
  std::optional<absl::StatusOr<int32_t>> chosen_;  // the next token
  TokenLogProbs chosen_log_probs_;                 // beside it, where they are wanted
  std::vector<TokenLogProbs> prompt_log_probs_;
  int64_t num_scored_ = 0;  // prompt tokens whose next one has its log-probability
  std::vector<float> values_;
  FinishReason finish_reason_ = FinishReason::kNone;
  std::string stop_string_;
};

}  // namespace oneai::serving
