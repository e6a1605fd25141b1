// File: serving/engine/mtp_drafter.h
//
// Guesses by the model's own multi-token-prediction head: a layer that reads the model's hidden
// state of a position and the token after it, and predicts the one after that (models/qwen/mtp.h).
// Its keys and values lie in the sequence's own blocks, so blocks of the prefix cache bring them
// along; but for the last position of a shared beginning, where they are those of the sequence that
// wrote them, which may have gone on with another token. A guess is verified whatever it was made
// of.
#pragma once

#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "serving/engine/drafter.h"
#include "serving/engine/model_runner.h"

namespace oneai::serving {

class MtpDrafter final : public Drafter {
 public:
  // `runner` has a draft head and outlives this.
  explicit MtpDrafter(ModelRunner* runner) : runner_(runner) {}

  // The head has to see every position. Those of a prompt are read at the next chance; those of a
  // sequence for which guessing does not pay wait until they are worth a step of their own.
  absl::Status Propose(absl::Span<const DraftJob> jobs) override;
  void Forget(SequenceId id) override { unread_.erase(id); }
  bool reads_hidden() const override { return true; }
  void Read(SequenceId id, int64_t first, absl::Span<const float> rows) override;
  void Fork(SequenceId parent, SequenceId child, int64_t first_own) override;

 private:
  // Hidden states of consecutive positions that the head has not read.
  struct Unread {
    int64_t first = 0;
    std::vector<float> rows;  // [positions, hidden_size]
  };
  // A job of this round: it reads `next` with `hidden` at `position`.
  struct Reader {
    const DraftJob* job;
    std::unique_ptr<Unread>* unread;  // in the first round
    int64_t position;
    bool guesses;
  };

  void Begin(absl::Span<const DraftJob> jobs);
  absl::Status ReadUnread();
  // Takes the guesses of a round, and leaves those readers that guess on.
  void TakeGuesses();
  absl::Status GuessOn();
  absl::Status Run();
  int64_t RowsOf(const Unread& unread) const;

  ModelRunner* const runner_;
  absl::flat_hash_map<SequenceId, std::unique_ptr<Unread>> unread_;
  std::vector<Reader> readers_;
  std::vector<RunnerDraft> drafts_;
  std::vector<float> hidden_;  // of the last round
  RunnerOutput output_;
  kernels::SamplingScratch scratch_;
};

}  // namespace oneai::serving
