#include "serving/engine/sequence.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/status.h"

namespace oneai::serving {
namespace {

SamplingSettings SettingsOfChoice(SamplingSettings settings, int32_t choice) {
  settings.seed = SeedOfChoice(settings.seed, choice);
  return settings;
}

}  // namespace

Sequence::Sequence(ActiveRequest& owner, int32_t choice, const TokenTable& table,
                   int64_t draft_tokens_max)
    : owner(owner),
      choice(choice),
      id(IdOfChoice(owner.number, choice)),
      tokens(owner.request.prompt),
      draft_length(draft_tokens_max),
      table_(table),
      sampler_(SettingsOfChoice(owner.request.sampling, choice), owner.request.prompt,
               table.end_ids, table.num_tokens),
      stops_(owner.request.sampling.stop,
             owner.request.sampling.include_stop ? StopText::kKeep : StopText::kDrop),
      thoughts_(owner.request.thoughts) {
  if (table.tokenizer != nullptr) {
    characters_.emplace(*table.tokenizer, models::SpecialText::kSkip);
  }
  if (owner.request.grammar != nullptr) {
    grammar_.emplace(owner.request.grammar);
    allowed_.resize(owner.request.grammar->vocabulary().num_mask_words());
    grammar_->FillMask(absl::MakeSpan(allowed_));
  }
  EndThoughts();
}

void Sequence::ChooseToken(absl::Span<float> logits, kernels::SamplingScratch& scratch) {
  double log_sum = 0;
  if (wants_log_probs()) {
    log_sum = SetTop(logits, owner.request.sampling.logprobs, table_.num_tokens, scratch,
                     chosen_log_probs_);
  }
  chosen_ = sampler_.Sample(logits, scratch, allowed_);
  if (wants_log_probs() && chosen_->ok()) {
    chosen_log_probs_.chosen =
        static_cast<float>(double{sampler_.RawLogit(logits, **chosen_)} - log_sum);
  }
}

absl::StatusOr<bool> Sequence::AddToken(absl::Span<float> logits,
                                        kernels::SamplingScratch& scratch) {
  if (!chosen_.has_value()) ChooseToken(logits, scratch);
  ASSIGN_OR_RETURN(const int32_t token, *std::exchange(chosen_, std::nullopt));
  GenerationEvent event;
  event.choice = choice;
  event.prompt_logprobs = std::exchange(prompt_log_probs_, {});
  if (owner.chooses_best()) owner.log_prob_sums[choice] += chosen_log_probs_.chosen;
  if (owner.request.sampling.logprobs >= 0)
    event.logprobs.push_back(std::exchange(chosen_log_probs_, {}));
  Accept(token, event);
  if (grammar_.has_value()) FollowGrammar(token, event);
  EndThoughts();
  owner.Push(std::move(event));
  return finish_reason_ != FinishReason::kNone;
}

void Sequence::Accept(int32_t token, GenerationEvent& event) {
  tokens.push_back(token);
  ++owner.usage.num_completion_tokens;
  event.token_ids.push_back(token);
  if (table_.tokenizer != nullptr) thoughts_.Push(table_.tokenizer->TokenBytes(token));
  if (sampler_.IsEnd(token)) {
    finish_reason_ = FinishReason::kStop;
    return;
  }
  if (characters_.has_value()) event.text += Filter(characters_->Push(token));
  if (finish_reason_ == FinishReason::kNone &&
      sampler_.num_generated() >= owner.request.sampling.max_tokens) {
    finish_reason_ = FinishReason::kLength;
  }
}

void Sequence::FollowGrammar(int32_t token, GenerationEvent& event) {
  // A token that ends the text (an end token or a stop id) is none of the grammar's business, and
  // one that the mask allowed is always accepted.
  if (finish_reason_ == FinishReason::kNone && grammar_->Accept(token)) JumpAhead(event);
  if (finish_reason_ != FinishReason::kNone) return;
  grammar_->FillMask(absl::MakeSpan(allowed_));
  if (!grammar_->CanEnd()) return;
  // The text is complete if nothing but its end may follow: no step is spent on asking for that.
  int64_t num_allowed = 0;
  for (uint64_t word : allowed_) num_allowed += std::popcount(word);
  for (int32_t id : grammar_->grammar().vocabulary().end_ids()) {
    num_allowed -= allowed_[id / 64] >> (id % 64) & 1;
  }
  if (num_allowed == 0) finish_reason_ = FinishReason::kStop;
}

void Sequence::JumpAhead(GenerationEvent& event) {
  if (!table_.jump_ahead || table_.tokenizer == nullptr) return;
  if (owner.request.sampling.logprobs >= 0 || owner.chooses_best()) return;
  const std::vector<int32_t> forced = grammar_->ForcedTokens([this](absl::string_view text) {
    return table_.tokenizer->Encode(text, models::SpecialTokens::kAsText);
  });
  for (int32_t token : forced) {
    if (finish_reason_ != FinishReason::kNone || !grammar_->Accept(token)) return;
    sampler_.Take(token);
    Accept(token, event);
  }
}

// The grammar of an answer with thoughts allows this token, too: it allows every character there.
void Sequence::EndThoughts() {
  const std::optional<int32_t> forced = thoughts_.Forced();
  if (!forced.has_value()) {
    if (!grammar_.has_value()) allowed_.clear();
    return;
  }
  allowed_.assign((table_.num_tokens + 63) / 64, 0);
  allowed_[*forced / 64] = uint64_t{1} << (*forced % 64);
}

std::string Sequence::Filter(std::string text) {
  if (sampler_.num_generated() < owner.request.sampling.min_tokens) return text;
  StopMatcher::Result result = stops_.Append(text);
  if (!result.matched.empty()) {
    stop_string_ = std::move(result.matched);
    finish_reason_ = FinishReason::kStop;
  }
  return std::move(result.text);
}

void Sequence::ScorePrompt(int64_t position, absl::Span<const float> rows, int64_t width,
                           kernels::SamplingScratch& scratch) {
  const int32_t num_top = owner.request.sampling.prompt_logprobs;
  for (; !rows.empty(); rows.remove_prefix(width), ++position) {
    if (position != num_scored_ || prompt_is_scored()) continue;  // computed again
    prompt_log_probs_.push_back(
        LogProbsOf(rows.first(width), tokens[position + 1], num_top, table_.num_tokens, scratch));
    ++num_scored_;
  }
}

void Sequence::SetValues(std::vector<float> values) {
  values_ = std::move(values);
  finish_reason_ = FinishReason::kStop;
}

GenerationEvent Sequence::LastEvent() {
  GenerationEvent event;
  event.choice = choice;
  if (stop_string_.empty() && owner.request.kind == RequestKind::kText) {
    if (characters_.has_value()) event.text = Filter(characters_->Finish());
    if (stop_string_.empty()) event.text += stops_.Flush();
  }
  event.prompt_logprobs = std::exchange(prompt_log_probs_, {});
  event.values = std::move(values_);
  event.finish_reason = finish_reason_;
  event.stop_string = stop_string_;
  return event;
}

SequenceView Sequence::View() const {
  SequenceView view;
  view.id = id;
  view.tenant = owner.tenant;
  view.priority = owner.request.priority;
  view.arrival = static_cast<int64_t>(id);
  view.deadline = owner.request.deadline;
  view.paused = owner.paused_since != absl::InfiniteFuture();
  view.resumed = resumed;
  view.num_tokens = static_cast<int64_t>(tokens.size());
  view.num_computed = num_computed;
  view.submitted = owner.submitted;
  return view;
}

absl::Span<const BlockHash> Sequence::Chain(const HashKey& key, const BlockHash& scope,
                                            int64_t block_tokens, int64_t num_blocks) {
  for (int64_t i = static_cast<int64_t>(chain_.size()); i < num_blocks; ++i) {
    chain_.push_back(
        HashBlock(key, i == 0 ? scope : chain_.back(),
                  absl::MakeConstSpan(tokens).subspan(i * block_tokens, block_tokens)));
  }
  return absl::MakeConstSpan(chain_).first(num_blocks);
}

void Sequence::TrimDrafts() {
  size_t num_possible = 0, num_accepted = 0;
  for (int32_t id : drafts) {
    if (id < 0 || id >= table_.num_tokens) break;
    if (grammar_.has_value()) {
      if (!grammar_->Accept(id)) break;
      ++num_accepted;
    }
    ++num_possible;
  }
  if (num_accepted > 0) grammar_->Rollback(static_cast<int64_t>(num_accepted));
  drafts.resize(num_possible);
}

void Sequence::Reset() {
  num_computed = 0;
  num_published = 0;
  state_tokens = 0;
  drafts.clear();
}

}  // namespace oneai::serving
