#include "serving/engine/model_drafter.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::serving {

absl::Status CheckSameTokens(const models::Tokenizer& target, const models::Tokenizer& draft) {
  const int64_t size = std::max(target.vocab_size(), draft.vocab_size());
  for (int64_t id = 0; id < size; ++id) {
    const auto bytes = [id](const models::Tokenizer& t) {
      return id < t.vocab_size() ? t.TokenBytes(static_cast<int32_t>(id)) : absl::string_view();
    };
    if (bytes(target) == bytes(draft)) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("the draft model has another tokenizer: token ", id, " is \"", bytes(draft),
                     "\" and not \"", bytes(target), "\"; choose a draft of the same family"));
  }
  return absl::OkStatus();
}

ModelDrafter::ModelDrafter(std::unique_ptr<ModelRunner> runner, int64_t prompt_tokens_max)
    : runner_(std::move(runner)),
      prompt_tokens_max_(prompt_tokens_max),
      pool_(runner_->num_blocks(), runner_->block_tokens()) {}

void ModelDrafter::Forget(SequenceId id) {
  pool_.Release(id);
  cached_.erase(id);
}

void ModelDrafter::Begin(absl::Span<const DraftJob> jobs) {
  active_.clear();
  for (const DraftJob& job : jobs) {
    job.drafts->clear();
    const int64_t num_tokens = static_cast<int64_t>(job.tokens.size());
    if (!pool_.Grow(job.id, num_tokens + job.num_drafts_max).ok()) continue;
    std::unique_ptr<std::vector<int32_t>>& cached = cached_[job.id];
    if (cached == nullptr) cached = std::make_unique<std::vector<int32_t>>();
    // What is right of the cache. The last token is computed again: its logits are wanted.
    const auto different =
        std::mismatch(cached->begin(), cached->end(), job.tokens.begin(), job.tokens.end() - 1);
    cached->erase(different.first, cached->end());
    const auto start = job.tokens.begin() + static_cast<int64_t>(cached->size());
    const int64_t chunk = std::min<int64_t>(job.tokens.end() - start, prompt_tokens_max_);
    active_.push_back(
        {&job, cached.get(), {start, start + chunk}, start + chunk == job.tokens.end()});
  }
}

absl::Status ModelDrafter::Round() {
  std::vector<RunnerChunk> chunks;
  for (const Runner& r : active_) {
    RunnerChunk chunk;
    chunk.token_ids = r.next;
    chunk.start = static_cast<int64_t>(r.cached->size());
    chunk.block_table = pool_.BlockTable(r.job->id);
    chunk.num_logit_rows = r.guesses ? 1 : 0;
    chunk.prompt_tokens = static_cast<int64_t>(r.job->tokens.size());
    chunks.push_back(chunk);
  }
  try {
    RETURN_IF_ERROR(runner_->Forward(chunks, output_));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("the draft model threw: ", error.what()));
  }
  const int64_t vocab = runner_->output_dim();
  int64_t row = 0;
  for (Runner& r : active_) {
    r.cached->insert(r.cached->end(), r.next.begin(), r.next.end());
    if (!r.guesses) continue;
    std::vector<int32_t>& drafts = *r.job->drafts;
    const int32_t guess = r.job->sampler->Guess(
        absl::MakeConstSpan(output_.logits).subspan(row++ * vocab, vocab),
        r.job->sampler->num_generated() + static_cast<int64_t>(drafts.size()), scratch_);
    if (guess >= 0) drafts.push_back(guess);
    r.guesses = guess >= 0 && static_cast<int64_t>(drafts.size()) < r.job->num_drafts_max;
    r.next.assign(1, guess);
  }
  std::erase_if(active_, [](const Runner& r) { return !r.guesses; });
  return absl::OkStatus();
}

absl::Status ModelDrafter::Propose(absl::Span<const DraftJob> jobs) {
  Begin(jobs);
  while (!active_.empty()) RETURN_IF_ERROR(Round());
  return absl::OkStatus();
}

}  // namespace oneai::serving
