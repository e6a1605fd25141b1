// File: models/ops/recurrent_step.h
//
// Which recurrent state a step's sequences read and write, in an order in which it can be done.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/delta_net/recurrent_state_view.h"

namespace oneai::models {

// A slot that receives the state after the first `num_tokens` tokens of a chunk.
struct StateCheckpoint {
  int64_t num_tokens = 0;
  int32_t slot = 0;
};

// Runs of tokens in rounds: those of one round are of different sequences and run together; a round
// may read what an earlier one wrote. Sequences that want the state between their tokens kept take
// one round more per kept state. Reused from step to step without allocating.
class RecurrentStep {
 public:
  void Clear() {
    for (std::vector<kernels::RecurrentRun>& round : rounds_) round.clear();
    num_rounds_ = 0;
  }

  // Adds a sequence, whose tokens are the step's rows [begin, end): from the state in slot `from`
  // (kernels::kZeroState: zeros), leaving the state after all of them in slot `to`. With k
  // `snapshots`, fewer than there are tokens, snapshots[i] receives the state k - i tokens before
  // the end; `checkpoints`, in ascending order, lie before all of these.
  void Add(int32_t begin, int32_t end, int32_t from, int32_t to,
           absl::Span<const int32_t> snapshots,
           absl::Span<const StateCheckpoint> checkpoints = {}) {
    const int32_t first = begin;
    const auto count = static_cast<int32_t>(snapshots.size());
    int64_t round = 0;
    const auto add_until = [&](int32_t middle, int32_t slot) {
      AddRun(round++, {begin, middle, from, slot});
      begin = middle;
      from = slot;
    };
    for (const StateCheckpoint& checkpoint : checkpoints) {
      add_until(first + static_cast<int32_t>(checkpoint.num_tokens), checkpoint.slot);
    }
    for (int32_t i = 0; i < count; ++i) add_until(end - count + i, snapshots[i]);
    add_until(end, to);
  }

  int64_t num_rounds() const { return num_rounds_; }
  absl::Span<const kernels::RecurrentRun> round(int64_t i) const { return rounds_[i]; }

 private:
  void AddRun(int64_t round, const kernels::RecurrentRun& run) {
    if (round == static_cast<int64_t>(rounds_.size())) rounds_.emplace_back();
    if (round >= num_rounds_) num_rounds_ = round + 1;
    rounds_[round].push_back(run);
  }

  std::vector<std::vector<kernels::RecurrentRun>> rounds_;
  int64_t num_rounds_ = 0;
};

}  // namespace oneai::models
