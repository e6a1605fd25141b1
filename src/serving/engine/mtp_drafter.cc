#include "serving/engine/mtp_drafter.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

// Positions of which it does not matter when they are read: so few that they take little memory,
// so many that the head's weights are seldom read for nothing.
constexpr int64_t kUnreadMax = 16;

}  // namespace

int64_t MtpDrafter::RowsOf(const Unread& unread) const {
  return static_cast<int64_t>(unread.rows.size()) / runner_->hidden_size();
}

void MtpDrafter::Read(SequenceId id, int64_t first, absl::Span<const float> rows) {
  std::unique_ptr<Unread>& unread = unread_[id];
  if (unread == nullptr) unread = std::make_unique<Unread>();
  // Positions that were computed again replace what was there; a gap means that the rest was read.
  const int64_t num_kept = first - unread->first;
  if (num_kept < 0 || num_kept > RowsOf(*unread)) {
    unread->rows.clear();
    unread->first = first;
  } else {
    unread->rows.resize(num_kept * runner_->hidden_size());
    if (num_kept == 0) unread->first = first;
  }
  unread->rows.insert(unread->rows.end(), rows.begin(), rows.end());
}

void MtpDrafter::Fork(SequenceId parent, SequenceId child, int64_t first_own) {
  const auto it = unread_.find(parent);
  if (it == unread_.end()) return;
  const Unread& unread = *it->second;
  const int64_t skipped = std::clamp<int64_t>(first_own - unread.first, 0, RowsOf(unread));
  auto copy = std::make_unique<Unread>();
  copy->first = unread.first + skipped;
  copy->rows.assign(unread.rows.begin() + skipped * runner_->hidden_size(), unread.rows.end());
  unread_[child] = std::move(copy);
}

void MtpDrafter::Begin(absl::Span<const DraftJob> jobs) {
  readers_.clear();
  for (const DraftJob& job : jobs) {
    job.drafts->clear();
    const auto it = unread_.find(job.id);
    if (it == unread_.end()) continue;
    const int64_t num_rows = RowsOf(*it->second), first = it->second->first;
    const bool guesses = job.num_drafts_max > 0;
    if (num_rows == 0 || (!guesses && num_rows < kUnreadMax)) continue;
    // To guess, it must have read all positions but the last token's.
    const bool is_complete = first + num_rows == static_cast<int64_t>(job.tokens.size()) - 1;
    readers_.push_back({&job, &it->second, first, guesses && is_complete});
  }
}

absl::Status MtpDrafter::Run() {
  try {
    RETURN_IF_ERROR(runner_->Draft(drafts_, output_));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("the draft head threw: ", error.what()));
  }
  return absl::OkStatus();
}

absl::Status MtpDrafter::ReadUnread() {
  drafts_.clear();
  for (const Reader& r : readers_) {
    const Unread& unread = **r.unread;
    drafts_.push_back({.next_tokens = r.job->tokens.subspan(unread.first + 1, RowsOf(unread)),
                       .hidden = unread.rows,
                       .start = unread.first,
                       .block_table = r.job->block_table,
                       .num_logit_rows = r.guesses ? 1 : 0});
  }
  RETURN_IF_ERROR(Run());
  for (Reader& r : readers_) {
    Unread& unread = **r.unread;
    const int64_t num_read = RowsOf(unread);
    r.position = unread.first += num_read;
    unread.rows.clear();
    // A sequence that adds one row at a time needs no memory for a prompt's.
    if (num_read > kUnreadMax) unread.rows.shrink_to_fit();
  }
  TakeGuesses();
  return absl::OkStatus();
}

void MtpDrafter::TakeGuesses() {
  const int64_t vocab = runner_->output_dim();
  int64_t row = 0;
  const int64_t width = runner_->hidden_size();
  std::swap(hidden_, output_.hidden);
  int64_t num_kept = 0;
  for (Reader& r : readers_) {
    if (!r.guesses) continue;
    std::vector<int32_t>& drafts = *r.job->drafts;
    const int32_t guess = r.job->sampler->Guess(
        absl::MakeConstSpan(output_.logits).subspan(row * vocab, vocab),
        r.job->sampler->num_generated() + static_cast<int64_t>(drafts.size()), scratch_);
    if (guess >= 0) drafts.push_back(guess);
    r.guesses = guess >= 0 && static_cast<int64_t>(drafts.size()) < r.job->num_drafts_max;
    if (r.guesses) {
      std::copy_n(hidden_.begin() + row * width, width, hidden_.begin() + num_kept++ * width);
    }
    ++row;
  }
  std::erase_if(readers_, [](const Reader& r) { return !r.guesses; });
}

absl::Status MtpDrafter::GuessOn() {
  const int64_t width = runner_->hidden_size();
  drafts_.clear();
  for (size_t i = 0; i < readers_.size(); ++i) {
    Reader& r = readers_[i];
    drafts_.push_back({.next_tokens = absl::MakeConstSpan(&r.job->drafts->back(), 1),
                       .hidden = absl::MakeConstSpan(hidden_).subspan(i * width, width),
                       .start = r.position++,
                       .block_table = r.job->block_table,
                       .num_logit_rows = 1});
  }
  RETURN_IF_ERROR(Run());
  TakeGuesses();
  return absl::OkStatus();
}

absl::Status MtpDrafter::Propose(absl::Span<const DraftJob> jobs) {
  Begin(jobs);
  if (readers_.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(ReadUnread());
  while (!readers_.empty()) RETURN_IF_ERROR(GuessOn());
  return absl::OkStatus();
}

}  // namespace oneai::serving
