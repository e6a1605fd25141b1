// File: serving/engine/drafter.h
//
// Speculative decoding: guesses at the next tokens of a sequence, which the model verifies in one
// step (arXiv:2211.17192). A guess is kept exactly when it is the token that the sequence draws
// there from the model's own logits, so answers are the same bit for bit, greedy or sampled, with
// and without guesses.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "serving/sampling/token_sampler.h"
#include "serving/scheduler/batch_plan.h"

namespace oneai::serving {

// One sequence to guess for. Borrowed for the call.
struct DraftJob {
  SequenceId id{};
  absl::Span<const int32_t> tokens;  // prompt and output so far
  int64_t num_drafts_max = 0;
  const TokenSampler* sampler = nullptr;
  std::vector<int32_t>* drafts = nullptr;  // to be filled
  // The sequence's blocks in the model's cache, with room for the tokens and the guesses.
  absl::Span<const int32_t> block_table;
};

// Thread-compatible.
class Drafter {
 public:
  virtual ~Drafter() = default;
  // Sets the jobs' drafts, up to num_drafts_max each; fewer or none where it has no good guess.
  // An error means that it is broken: it is not asked again.
  virtual absl::Status Propose(absl::Span<const DraftJob> jobs) = 0;
  // The sequence has ended or lost its blocks.
  virtual void Forget(SequenceId id) = 0;

  // Whether it reads the model's hidden states. Then Propose gets a job for every sequence of the
  // step, also for those that are to have no guesses (num_drafts_max 0).
  virtual bool reads_hidden() const { return false; }
  // The model has computed positions `first`, `first` + 1, ... of a sequence, one row each.
  virtual void Read(SequenceId id, int64_t first, absl::Span<const float> rows) {
    (void)id, (void)first, (void)rows;
  }
  // `child` begins as `parent` is; it shares the blocks of the positions before `first_own`.
  virtual void Fork(SequenceId parent, SequenceId child, int64_t first_own) {
    (void)parent, (void)child, (void)first_own;
  }
};

inline constexpr double kShareRightAtFirst = 0.6;

// How far ahead it pays to guess, for one sequence. With a share `a` of right guesses, k guesses
// give 1 + a + ... + a^k tokens for the time of 1 + k * cost steps.
class DraftLength {
 public:
  explicit DraftLength(int64_t length_max) : length_max_(length_max) {}

  // The best length now; 0: guessing does not pay. `cost` is what one more guess costs, as a share
  // of a step. After kDraftPause calls that gave 0 it tries a single guess again.
  int64_t Next(double cost);
  void Record(int64_t num_proposed, int64_t num_right);

  // Moving average of right guesses; at first optimistic, or what other sequences have seen.
  double share_right() const { return share_right_; }
  void Expect(double share_right) { share_right_ = share_right; }

 private:
  const int64_t length_max_;
  double share_right_ = kShareRightAtFirst;
  int64_t num_pauses_ = 0;
};

inline constexpr int64_t kDraftPause = 32;

}  // namespace oneai::serving
