// One step of the engine: guesses, the model, and what its output means for every sequence.
#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/status.h"
#include "serving/engine/engine.h"

namespace oneai::serving {

absl::Span<float> Engine::Row(int64_t row) {
  const int64_t width = runner_->output_dim();
  return absl::MakeSpan(output_.logits).subspan(row * width, width);
}

void Engine::Execute(const BatchPlan& plan) {
  const absl::Time start = clock_->Now();
  Propose(plan.chunks);
  step_chunks_.clear();
  for (const PlannedChunk& chunk : plan.chunks) {
    Sequence& sequence = *sequences_.at(chunk.id);
    // Less than planned is missing if more of the prompt was found than could be read.
    const int64_t missing = static_cast<int64_t>(sequence.tokens.size()) - sequence.num_computed;
    step_chunks_.push_back({chunk.id, &sequence, std::min(chunk.num_tokens, missing)});
  }
  const absl::Status status = Forward(absl::MakeSpan(step_chunks_));
  if (status.ok()) {
    step_.forward_time = clock_->Now() - start;
    Advance(absl::MakeSpan(step_chunks_));
  } else {
    ForwardEachAlone(absl::MakeSpan(step_chunks_));
    step_.forward_time = clock_->Now() - start;
  }
  ++counts_.num_steps;
  if (observer_ != nullptr) observer_->OnStep(step_);
}

void Engine::Propose(absl::Span<const PlannedChunk> chunks) {
  if (drafter_ == nullptr) return;
  std::vector<DraftJob> jobs;
  for (const PlannedChunk& chunk : chunks) {
    Sequence& sequence = *sequences_.at(chunk.id);
    sequence.drafts.clear();
    if (chunk.num_drafts == 0) continue;
    jobs.push_back(
        {sequence.id, sequence.tokens, chunk.num_drafts, &sequence.sampler(), &sequence.drafts});
  }
  const absl::Status status = drafter_->Propose(jobs);
  if (!status.ok()) {
    Log::Error("speculation is off: the draft model failed", {{"status", status}});
    drafter_ = nullptr;
    for (const DraftJob& job : jobs) job.drafts->clear();
  }
  for (const DraftJob& job : jobs) sequences_.at(job.id)->TrimDrafts();
}

// Runs the model over `chunks`. A failure has changed nothing but cache contents that are written
// again (and recurrent state, see Recompute).
absl::Status Engine::Forward(absl::Span<StepChunk> chunks) {
  step_tokens_.clear();
  int64_t num_rows = 0;
  for (StepChunk& chunk : chunks) {
    Sequence& sequence = *chunk.sequence;
    const bool reaches_end =
        sequence.num_computed + chunk.num_tokens == static_cast<int64_t>(sequence.tokens.size());
    if (!reaches_end) sequence.drafts.clear();
    const absl::Span<const int32_t> next = sequence.NextTokens(chunk.num_tokens);
    chunk.first_token = static_cast<int64_t>(step_tokens_.size());
    step_tokens_.insert(step_tokens_.end(), next.begin(), next.end());
    step_tokens_.insert(step_tokens_.end(), sequence.drafts.begin(), sequence.drafts.end());
    const int64_t num_drafts = static_cast<int64_t>(sequence.drafts.size());
    RETURN_IF_ERROR(pool_.Grow(sequence.id, sequence.num_computed + chunk.num_tokens + num_drafts));
    chunk.first_row = num_rows;
    chunk.wants_hidden = reaches_end && sequence.owner.request.kind == RequestKind::kHidden;
    chunk.num_rows = sequence.wants_prompt_scores()       ? chunk.num_tokens
                     : reaches_end && !chunk.wants_hidden ? 1 + num_drafts
                                                          : 0;
    num_rows += chunk.num_rows;
  }
  batch_.clear();
  for (const StepChunk& chunk : chunks) {  // only now: the tokens and tables have stopped moving
    const Sequence& sequence = *chunk.sequence;
    RunnerChunk out;
    out.token_ids = absl::MakeConstSpan(step_tokens_)
                        .subspan(chunk.first_token,
                                 chunk.num_tokens + static_cast<int64_t>(sequence.drafts.size()));
    out.start = sequence.num_computed;
    out.block_table = pool_.BlockTable(sequence.id);
    out.num_logit_rows = chunk.num_rows;
    out.prompt_tokens = sequence.num_prompt();
    out.adapter = sequence.owner.request.adapter;
    out.state_slot = std::max(sequence.state_slot, 0);
    out.wants_hidden = chunk.wants_hidden;
    batch_.push_back(out);
  }
  try {
    return runner_->Forward(batch_, output_);
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("the model threw: ", error.what()));
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
  const int64_t end = std::exchange(sequence.num_computed, 0);
  while (sequence.num_computed < end) {
    StepChunk chunk{sequence.id, &sequence,
                    std::min(options_.max_batch_tokens, end - sequence.num_computed)};
    RETURN_IF_ERROR(Forward({&chunk, 1}));
    sequence.num_computed += chunk.num_tokens;
  }
  return absl::OkStatus();
}

// Counts what was computed and takes the output where a sequence has reached its last token.
void Engine::Advance(absl::Span<StepChunk> chunks) {
  int64_t hidden_row = 0;
  for (const StepChunk& chunk : chunks) {
    if (!sequences_.contains(chunk.id)) continue;  // another choice of it has just failed
    Sequence& sequence = *chunk.sequence;
    step_.num_batch_tokens += chunk.num_tokens + static_cast<int64_t>(sequence.drafts.size());
    if (!sequence.resumed) {
      step_.num_prompt_tokens +=
          std::clamp<int64_t>(sequence.num_prompt() - sequence.num_computed, 0, chunk.num_tokens);
    }
    if (sequence.wants_prompt_scores()) Score(sequence, chunk);
    sequence.num_computed += chunk.num_tokens;
    PublishBlocks(sequence);
    if (sequence.num_computed < static_cast<int64_t>(sequence.tokens.size())) continue;
    if (chunk.wants_hidden) {
      const int64_t width = runner_->hidden_size();
      const auto first = output_.hidden.begin() + width * hidden_row++;
      sequence.SetValues({first, first + width});
      FinishSequence(sequence);
    } else if (sequence.owner.request.kind == RequestKind::kScores) {
      Answer(sequence, chunk);
    } else {
      Verify(sequence, chunk);
    }
  }
}

void Engine::Score(Sequence& sequence, const StepChunk& chunk) {
  const int64_t width = runner_->output_dim();
  sequence.ScorePrompt(
      sequence.num_computed,
      absl::MakeConstSpan(output_.logits).subspan(chunk.first_row * width, chunk.num_rows * width),
      width);
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
void Engine::Verify(Sequence& sequence, const StepChunk& chunk) {
  const std::vector<int32_t> drafts = std::exchange(sequence.drafts, {});
  const int64_t num_drafts = static_cast<int64_t>(drafts.size());
  const int64_t num_known = static_cast<int64_t>(sequence.tokens.size());
  const int64_t last_row = chunk.first_row + chunk.num_rows - 1 - num_drafts;
  if (sequence.owner.request.sampling.max_tokens == 0) {
    sequence.EndAfterPrompt();
    FinishSequence(sequence);
    return;
  }
  if (!sequence.owner.forked && !Fork(sequence, Row(last_row))) return;
  const auto num_right = [&] {
    const auto wrong = std::mismatch(drafts.begin(), drafts.end(),
                                     sequence.tokens.begin() + num_known, sequence.tokens.end());
    return wrong.first - drafts.begin();
  };
  counts_.num_draft_tokens += num_drafts;
  for (int64_t next = 0;;) {
    if (!Sample(sequence, Row(last_row + next))) return;
    const int64_t num_counted = next;
    next = static_cast<int64_t>(sequence.tokens.size()) - num_known;
    counts_.num_accepted_tokens += std::min(next, num_right()) - num_counted;
    if (num_right() < next) break;
  }
  sequence.num_computed = num_known + num_right();
  if (num_drafts > 0) sequence.draft_length.Record(num_drafts, num_right());
  PublishBlocks(sequence);
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
    if (fork.state_slot >= 0) free_states_.push_back(std::exchange(fork.state_slot, -1));
    return false;
  }
  if (copy->has_value()) runner_->CopyBlock((*copy)->from, (*copy)->to);
  if (fork.state_slot >= 0) runner_->CopyState(leader.state_slot, fork.state_slot);
  fork.num_computed = num_tokens;
  fork.num_published = std::min(leader.num_published, num_tokens / pool_.block_tokens());
  return true;
}

// False: all slots are taken.
bool Engine::TakeState(Sequence& sequence) {
  if (runner_->num_state_slots() == 0) return true;
  if (free_states_.empty()) return false;
  sequence.state_slot = free_states_.back();
  free_states_.pop_back();
  return true;
}

bool Engine::Sample(Sequence& sequence, absl::Span<float> logits) {
  ActiveRequest& owner = sequence.owner;
  const absl::StatusOr<bool> done = sequence.AddToken(logits, scratch_);
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
