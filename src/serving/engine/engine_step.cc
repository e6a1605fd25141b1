// One step of the engine: guesses, the model, and what its output means for every sequence.
#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/status.h"
#include "serving/engine/engine.h"

namespace oneai::serving {
namespace {

constexpr double kShareMemory = 50;  // guesses over which share_right_ is an average

}  // namespace

absl::Span<float> Engine::Row(int64_t row) {
  const int64_t width = runner_->output_dim();
  return absl::MakeSpan(output_.logits).subspan(row * width, width);
}

void Engine::Execute(const BatchPlan& plan) {
  const absl::Time start = clock_->Now();
  Propose(plan.chunks);
  const absl::Time proposed = clock_->Now();
  step_chunks_.clear();
  for (const PlannedChunk& chunk : plan.chunks) {
    Sequence& sequence = *sequences_.at(chunk.id);
    // Less than planned is missing if more of the prompt was found than could be read.
    const int64_t missing = static_cast<int64_t>(sequence.tokens.size()) - sequence.num_computed;
    step_chunks_.push_back(
        {chunk.id, &sequence, sequence.num_computed, std::min(chunk.num_tokens, missing)});
  }
  const absl::Status status = Forward(absl::MakeSpan(step_chunks_));
  if (status.ok()) {
    const absl::Time end = clock_->Now();
    step_.forward_time = end - start;
    LearnCost(proposed - start, end - proposed);
    Advance(absl::MakeSpan(step_chunks_));
  } else {
    ForwardEachAlone(absl::MakeSpan(step_chunks_));
    step_.forward_time = clock_->Now() - start;
  }
  budget_.RecordStep(step_.num_batch_tokens, step_.forward_time);
  ++counts_.num_steps;
  if (observer_ != nullptr) observer_->OnStep(step_);
}

void Engine::Propose(absl::Span<const PlannedChunk> chunks) {
  if (drafter_ == nullptr) return;
  draft_jobs_.clear();
  for (const PlannedChunk& chunk : chunks) {
    Sequence& sequence = *sequences_.at(chunk.id);
    sequence.drafts.clear();
    if (chunk.num_drafts == 0 && !ShowsHidden(sequence)) continue;
    const int64_t num_tokens = static_cast<int64_t>(sequence.tokens.size()) + chunk.num_drafts;
    const bool has_room = chunk.num_drafts == 0 || pool_.Grow(sequence.id, num_tokens).ok();
    draft_jobs_.push_back({sequence.id, sequence.tokens, has_room ? chunk.num_drafts : 0,
                           &sequence.sampler(), &sequence.drafts, {}});
  }
  for (DraftJob& job : draft_jobs_) job.block_table = pool_.BlockTable(job.id);
  const absl::Status status = drafter_->Propose(draft_jobs_);
  if (!status.ok()) {
    Log::Error("speculation is off: guessing failed", {{"status", status}});
    drafter_ = nullptr;
    for (const DraftJob& job : draft_jobs_) job.drafts->clear();
  }
  for (const DraftJob& job : draft_jobs_) sequences_.at(job.id)->TrimDrafts();
}

// Steps of decodes alone tell what a row costs; those with a prompt's chunk measure something else.
void Engine::LearnCost(absl::Duration proposing, absl::Duration computing) {
  if (drafter_ == nullptr || options_.draft_row_cost.has_value()) return;
  int64_t num_rows = 0, num_rounds = 0;
  for (const StepChunk& chunk : step_chunks_) {
    const auto num_drafts = static_cast<int64_t>(chunk.sequence->drafts.size());
    if (chunk.num_tokens > 1) return;
    num_rows += 1 + num_drafts;
    num_rounds = std::max(num_rounds, num_drafts);
  }
  cost_.RecordStep(num_rows, computing);
  if (num_rounds > 0) cost_.RecordGuesses(num_rounds, proposing);
}

// Whether the drafter is to see the hidden states of the sequence.
bool Engine::ShowsHidden(const Sequence& sequence) const {
  const GenerationRequest& request = sequence.owner.request;
  return drafter_ != nullptr && drafter_->reads_hidden() && request.kind == RequestKind::kText &&
         request.sampling.max_tokens > 1;
}

// Runs the model over `chunks`. A failure has changed nothing but cache contents that are written
// again (and recurrent state, see Recompute).
absl::Status Engine::Forward(absl::Span<StepChunk> chunks) {
  RETURN_IF_ERROR(LayOutStep(chunks));
  MakeBatch(chunks);
  try {
    RETURN_IF_ERROR(runner_->Forward(batch_, output_));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("the model threw: ", error.what()));
  }
  for (const StepChunk& chunk : chunks) {
    chunk.sequence->state_tokens = chunk.sequence->num_computed + chunk.num_tokens +
                                   static_cast<int64_t>(chunk.sequence->drafts.size());
  }
  return absl::OkStatus();
}

// Sets the step's tokens and the chunks' places in it, and takes what blocks and states they need.
absl::Status Engine::LayOutStep(absl::Span<StepChunk> chunks) {
  step_tokens_.clear();
  int64_t num_rows = 0, num_hidden = 0;
  for (StepChunk& chunk : chunks) {
    Sequence& sequence = *chunk.sequence;
    const bool reaches_end =
        sequence.num_computed + chunk.num_tokens == static_cast<int64_t>(sequence.tokens.size());
    if (!reaches_end) sequence.drafts.clear();
    PlanStates(sequence, chunk.num_tokens);
    const absl::Span<const int32_t> next = sequence.NextTokens(chunk.num_tokens);
    chunk.first_token = static_cast<int64_t>(step_tokens_.size());
    step_tokens_.insert(step_tokens_.end(), next.begin(), next.end());
    step_tokens_.insert(step_tokens_.end(), sequence.drafts.begin(), sequence.drafts.end());
    const int64_t num_drafts = static_cast<int64_t>(sequence.drafts.size());
    RETURN_IF_ERROR(pool_.Grow(sequence.id, sequence.num_computed + chunk.num_tokens + num_drafts));
    chunk.first_row = num_rows;
    chunk.first_hidden = num_hidden;
    const bool is_embedding = sequence.owner.request.kind == RequestKind::kHidden;
    chunk.num_hidden = is_embedding            ? reaches_end
                       : ShowsHidden(sequence) ? chunk.num_tokens + num_drafts
                                               : 0;
    chunk.num_rows = sequence.wants_prompt_scores() ? chunk.num_tokens
                     : reaches_end && !is_embedding ? 1 + num_drafts
                                                    : 0;
    num_rows += chunk.num_rows;
    num_hidden += chunk.num_hidden;
  }
  return absl::OkStatus();
}

// The chunks as the model reads them; the tokens and tables have stopped moving.
void Engine::MakeBatch(absl::Span<const StepChunk> chunks) {
  batch_snapshots_.clear();
  batch_checkpoints_.clear();
  for (const StepChunk& chunk : chunks) {
    const Sequence& sequence = *chunk.sequence;
    const int64_t end = sequence.num_computed + chunk.num_tokens;
    for (const StateAt& state : sequence.step_states) {
      if (state.num_tokens >= end) {
        batch_snapshots_.push_back(state.slot);
      } else {
        batch_checkpoints_.push_back({state.num_tokens - sequence.num_computed, state.slot});
      }
    }
  }
  batch_.clear();
  size_t num_snapshots = 0, num_checkpoints = 0;
  for (const StepChunk& chunk : chunks) {
    const Sequence& sequence = *chunk.sequence;
    RunnerChunk out;
    // Of a sequence with a state, each draft has one to go back to.
    const size_t num_drafts = sequence.state_slot < 0 ? 0 : sequence.drafts.size();
    const size_t num_marks = sequence.step_states.size() - num_drafts;
    out.state_snapshots = absl::MakeConstSpan(batch_snapshots_).subspan(num_snapshots, num_drafts);
    out.state_checkpoints =
        absl::MakeConstSpan(batch_checkpoints_).subspan(num_checkpoints, num_marks);
    num_snapshots += num_drafts;
    num_checkpoints += num_marks;
    out.token_ids = absl::MakeConstSpan(step_tokens_)
                        .subspan(chunk.first_token,
                                 chunk.num_tokens + static_cast<int64_t>(sequence.drafts.size()));
    out.start = sequence.num_computed;
    out.block_table = pool_.BlockTable(sequence.id);
    out.num_logit_rows = chunk.num_rows;
    out.prompt_tokens = sequence.num_prompt();
    out.adapter = sequence.owner.request.adapter;
    out.state_slot = std::max(sequence.state_slot, 0);
    out.num_hidden_rows = chunk.num_hidden;
    batch_.push_back(out);
  }
}

// After a failed step: one request may be the cause, the others must not suffer for it.
void Engine::ForwardEachAlone(absl::Span<StepChunk> chunks) {
  for (StepChunk& chunk : chunks) {
    if (!sequences_.contains(chunk.id)) continue;  // another choice of it has just failed
    absl::Status status = Recompute(*chunk.sequence);
    if (status.ok()) status = Forward({&chunk, 1});
    if (status.ok()) {
      Advance({&chunk, 1});
      continue;
    }
    Log::Error("model step failed", {{"tokens", chunk.num_tokens}, {"status", status}});
    EndRequest(chunk.sequence->owner.number,
               absl::InternalError(absl::StrCat("the model failed: ", status.message())));
  }
}

// A failed step may have moved the recurrent state on: brings it back to num_computed.
absl::Status Engine::Recompute(Sequence& sequence) {
  if (sequence.state_slot < 0) return absl::OkStatus();
  const int64_t end = sequence.num_computed;
  const int64_t kept = options_.prefix_cache ? BestState(sequence, end) : 0;
  sequence.num_computed = RestoreState(sequence, kept) ? kept : 0;
  while (sequence.num_computed < end) {
    StepChunk chunk{sequence.id, &sequence, sequence.num_computed,
                    std::min(options_.max_batch_tokens, end - sequence.num_computed)};
    RETURN_IF_ERROR(Forward({&chunk, 1}));
    sequence.num_computed += chunk.num_tokens;
  }
  return absl::OkStatus();
}

// Counts what was computed and takes the output where a sequence has reached its last token.
void Engine::Advance(absl::Span<StepChunk> chunks) {
  ChooseTokens(chunks);
  for (const StepChunk& chunk : chunks) {
    // Another choice of it may have just failed.
    if (sequences_.contains(chunk.id)) AdvanceOne(*chunk.sequence, chunk);
  }
}

void Engine::AdvanceOne(Sequence& sequence, const StepChunk& chunk) {
  step_.num_batch_tokens += chunk.num_tokens + static_cast<int64_t>(sequence.drafts.size());
  if (!sequence.resumed) {
    step_.num_prompt_tokens +=
        std::clamp<int64_t>(sequence.num_prompt() - sequence.num_computed, 0, chunk.num_tokens);
  }
  if (sequence.wants_prompt_scores()) Score(sequence, chunk);
  const RequestKind kind = sequence.owner.request.kind;
  if (kind == RequestKind::kText) ShowHidden(sequence, chunk, 0, chunk.num_tokens);
  sequence.num_computed += chunk.num_tokens;
  PublishBlocks(sequence);
  if (sequence.drafts.empty()) KeepStates(sequence);  // else once it is known which are right
  if (sequence.num_computed < static_cast<int64_t>(sequence.tokens.size())) {
    GiveStates(sequence);
  } else if (kind == RequestKind::kHidden) {
    const int64_t width = runner_->hidden_size();
    const auto first = output_.hidden.begin() + width * chunk.first_hidden;
    sequence.SetValues({first, first + width});
    FinishSequence(sequence);
  } else if (kind == RequestKind::kScores) {
    Answer(sequence, chunk);
  } else if (Verify(sequence, chunk)) {
    RollBack(sequence);
    PublishBlocks(sequence);
    KeepStates(sequence);
    GiveStates(sequence);
  }
}

// Shows the drafter the states of the chunk's tokens [begin, end), drafts counted.
void Engine::ShowHidden(const Sequence& sequence, const StepChunk& chunk, int64_t begin,
                        int64_t end) {
  if (chunk.num_hidden < end || begin == end || drafter_ == nullptr) return;
  const int64_t width = runner_->hidden_size();
  drafter_->Read(sequence.id, chunk.start + begin,
                 absl::MakeConstSpan(output_.hidden)
                     .subspan((chunk.first_hidden + begin) * width, (end - begin) * width));
}

void Engine::Score(Sequence& sequence, const StepChunk& chunk) {
  const int64_t width = runner_->output_dim();
  sequence.ScorePrompt(
      sequence.num_computed,
      absl::MakeConstSpan(output_.logits).subspan(chunk.first_row * width, chunk.num_rows * width),
      width, scratch_[0]);
}

void Engine::Answer(Sequence& sequence, const StepChunk& chunk) {
  const absl::Span<const float> row = Row(chunk.first_row + chunk.num_rows - 1);
  std::vector<float> values;
  if (sequence.owner.request.score_ids.empty()) values.assign(row.begin(), row.end());
  for (int32_t id : sequence.owner.request.score_ids) values.push_back(row[id]);
  sequence.SetValues(std::move(values));
  FinishSequence(sequence);
}

// Draws the next token, and the one after it as long as the guess that was computed is the token
// that was drawn.
bool Engine::Verify(Sequence& sequence, const StepChunk& chunk) {
  const std::vector<int32_t> drafts = std::exchange(sequence.drafts, {});
  const int64_t num_drafts = static_cast<int64_t>(drafts.size());
  const int64_t num_known = static_cast<int64_t>(sequence.tokens.size());
  const int64_t last_row = chunk.first_row + chunk.num_rows - 1 - num_drafts;
  if (sequence.owner.request.sampling.max_tokens == 0) {
    sequence.EndAfterPrompt();
    FinishSequence(sequence);
    return false;
  }
  if (!sequence.owner.forked && !Fork(sequence, Row(last_row))) return false;
  const auto num_right = [&] {
    const auto wrong = std::mismatch(drafts.begin(), drafts.end(),
                                     sequence.tokens.begin() + num_known, sequence.tokens.end());
    return wrong.first - drafts.begin();
  };
  counts_.num_draft_tokens += num_drafts;
  for (int64_t next = 0;;) {
    if (!Sample(sequence, Row(last_row + next))) return false;
    const int64_t num_counted = next;
    next = static_cast<int64_t>(sequence.tokens.size()) - num_known;
    counts_.num_accepted_tokens += std::min(next, num_right()) - num_counted;
    if (num_right() < next) break;
  }
  sequence.num_computed = num_known + num_right();
  if (num_drafts > 0) {
    sequence.draft_length.Record(num_drafts, num_right());
    share_right_ += (sequence.draft_length.share_right() - share_right_) / kShareMemory;
  }
  ShowHidden(sequence, chunk, chunk.num_tokens, chunk.num_tokens + num_right());
  return true;
}

// Makes the other choices of a request whose prompt has been computed, and draws their first token.
// Those for which there is no room now compute the prompt again when there is. False: the request
// is no more.
bool Engine::Fork(Sequence& leader, absl::Span<const float> logits) {
  ActiveRequest& owner = leader.owner;
  owner.forked = true;
  const int64_t number = owner.number;
  const int32_t num_choices = owner.request.best_of;
  for (int32_t choice = 1; choice < num_choices; ++choice) {
    auto made = std::make_unique<Sequence>(owner, choice, tokens_, options_.draft_tokens_max);
    Sequence& fork = *made;
    fork.resumed = true;
    sequences_.emplace(fork.id, std::move(made));
    if (!ShareBlocks(leader, fork)) {
      waiting_.push_back(fork.id);
      continue;
    }
    running_.push_back(fork.id);
    fork_row_.assign(logits.begin(), logits.end());
    Sample(fork, absl::MakeSpan(fork_row_));
    if (!requests_.contains(number)) return false;
  }
  return true;
}

// False, and nothing changed: there is no room.
bool Engine::ShareBlocks(const Sequence& leader, Sequence& fork) {
  if (static_cast<int64_t>(running_.size()) >= options_.max_running_sequences) return false;
  if (!TakeState(fork)) return false;
  const int64_t num_tokens = leader.num_computed;
  const absl::StatusOr<std::optional<BlockCopy>> copy = pool_.Fork(leader.id, fork.id, num_tokens);
  if (!copy.ok()) {
    if (fork.state_slot >= 0) states_.Give(std::exchange(fork.state_slot, -1));
    return false;
  }
  if (copy->has_value()) runner_->CopyBlock((*copy)->from, (*copy)->to);
  if (fork.state_slot >= 0) runner_->CopyState(leader.state_slot, fork.state_slot);
  fork.num_computed = num_tokens;
  fork.state_tokens = leader.state_tokens;
  const int64_t num_full = num_tokens / pool_.block_tokens();
  fork.num_published = std::min(leader.num_published, num_full);
  if (drafter_ != nullptr) drafter_->Fork(leader.id, fork.id, num_full * pool_.block_tokens());
  return true;
}

bool Engine::Sample(Sequence& sequence, absl::Span<float> logits) {
  ActiveRequest& owner = sequence.owner;
  const absl::StatusOr<bool> done = sequence.AddToken(logits, scratch_[0]);
  if (!done.ok()) {
    EndRequest(owner.number, done.status());
    return false;
  }
  ++step_.num_output_tokens;
  ledger_.Charge(owner.tenant, kOutputTokenCost);
  const absl::Time now = clock_->Now();
  if (owner.first_token == absl::InfiniteFuture()) {
    owner.first_token = now;
    if (observer_ != nullptr) observer_->OnFirstToken(now - owner.submitted);
  } else if (observer_ != nullptr) {
    observer_->OnNextToken(now - (sequence.last_token == absl::InfiniteFuture()
                                      ? owner.first_token
                                      : sequence.last_token));
  }
  sequence.last_token = now;
  if (*done) FinishSequence(sequence);
  return !*done;
}

void Engine::FinishSequence(Sequence& sequence) {
  ActiveRequest& owner = sequence.owner;
  GenerationEvent event = sequence.LastEvent();
  Release(sequence);
  sequences_.erase(sequence.id);
  const bool was_last = owner.num_unfinished() == 1;
  if (was_last) ledger_.Leave(owner.tenant);
  // Before the reader learns of the end, so that it sees its blocks free.
  PublishStats();
  if (!owner.EndChoice(std::move(event))) return;
  const auto node = requests_.extract(owner.number);
  Report(*node.mapped());
}

}  // namespace oneai::serving
