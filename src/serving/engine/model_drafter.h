// File: serving/engine/model_drafter.h
//
// Guesses by a smaller model of the same vocabulary, which keeps its own cache of the sequences.
#pragma once

#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "models/tokenizer/tokenizer.h"
#include "serving/engine/drafter.h"
#include "serving/engine/model_runner.h"
#include "serving/scheduler/block_pool.h"

namespace oneai::serving {

// FailedPrecondition, naming the first difference: the two do not mean the same by the same ids, so
// that one model's tokens are no guesses for the other.
absl::Status CheckSameTokens(const models::Tokenizer& target, const models::Tokenizer& draft);

class ModelDrafter final : public Drafter {
 public:
  // A text model without recurrent state. Of a sequence that is new to the draft model it computes
  // at most `prompt_tokens_max` tokens a step, and guesses once it has caught up. A sequence for
  // which its cache has no room gets no guesses.
  ModelDrafter(std::unique_ptr<ModelRunner> runner, int64_t prompt_tokens_max);

  absl::Status Propose(absl::Span<const DraftJob> jobs) override;
  void Forget(SequenceId id) override;

 private:
  // A job of this round: the tokens to compute come from the sequence, then from its drafts.
  struct Runner {
    const DraftJob* job;
    std::vector<int32_t>* cached;
    std::vector<int32_t> next;
    bool guesses;
  };

  // Starts the jobs for which there is room.
  void Begin(absl::Span<const DraftJob> jobs);
  absl::Status Round();

  const std::unique_ptr<ModelRunner> runner_;
  const int64_t prompt_tokens_max_;
  BlockPool pool_;
  // The tokens whose keys and values are in the cache; some may be guesses that were wrong.
  absl::flat_hash_map<SequenceId, std::unique_ptr<std::vector<int32_t>>> cached_;
  std::vector<Runner> active_;
  RunnerOutput output_;
  kernels::SamplingScratch scratch_;
};

}  // namespace oneai::serving
