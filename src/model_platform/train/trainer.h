// File: model_platform/train/trainer.h
//
// One rank's training: the model, its optimizer and its place in the data. LibTorch stays behind
// the implementation.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model_platform/data/packed_sequences.h"
#include "model_platform/settings/settings.h"
#include "model_platform/train/trainer_state.h"
#include "models/config/model_config.h"

namespace oneai::platform {

class RankGroup;

struct StepResult {
  double loss = 0;       // mean over the target tokens of all ranks and micro-batches
  double grad_norm = 0;  // global L2 norm before clipping
  double learning_rate = 0;
  int64_t tokens = 0;    // processed by all ranks
  bool skipped = false;  // loss or norm was not finite: no update
  bool stop = false;     // some rank was asked to stop
};

// All ranks make the same calls in the same order. Thread-compatible. `group` must outlive it.
class Trainer {
 public:
  // Fresh weights, equal on all ranks. `num_threads`: of this rank's computation. The global batch
  // is that of `batch_ranks` ranks, however many there are: with fewer each does more micro-batches
  // of the same samples, so that an elastic run may change its size at any checkpoint.
  static absl::StatusOr<std::unique_ptr<Trainer>> Create(const PretrainSettings& settings,
                                                         const models::ModelConfig& config,
                                                         PackedSequences sequences,
                                                         RankGroup* group, int batch_ranks,
                                                         int num_threads);
  ~Trainer();

  // One optimizer step over the global batch. The loss is sum of token losses / number of target
  // tokens over all micro-batches and ranks, so neither how the batch is divided nor where
  // documents end weighs a token differently. `stop_requested` travels with the gradients, so that
  // all ranks learn of it at the same step. Unavailable: a rank is gone. Internal,
  // ResourceExhausted: LibTorch failed.
  absl::StatusOr<StepResult> TrainStep(bool stop_requested);

  // Writes config.json and weights into `folder`, as settings.torch_dtype.
  absl::Status SaveModel(const std::filesystem::path& folder) const;
  // Writes `trainer/` below `folder`: float32 master weights, moments, trainer_state.json.
  absl::Status SaveState(const std::filesystem::path& folder) const;

  // Rank 0: reads what SaveState wrote. DataLoss: it does not fit this model.
  absl::Status LoadState(const std::filesystem::path& folder);
  // All ranks, after rank 0 may have loaded: everybody takes rank 0's weights, moments and state.
  absl::Status ShareState();

  TrainerState& state() { return state_; }
  const TrainerState& state() const { return state_; }
  int64_t num_parameters() const;
  double epoch() const;

 private:
  struct Tensors;
  Trainer(const PretrainSettings& settings, PackedSequences sequences, RankGroup* group,
          int batch_ranks);
  absl::Status AccumulateMicroBatch(int64_t first_sample, double& loss_sum, int64_t& num_targets);

  const PretrainSettings settings_;
  PackedSequences sequences_;
  RankGroup* const group_;
  const int64_t batch_ranks_;
  std::unique_ptr<Tensors> tensors_;
  TrainerState state_;
};

}  // namespace oneai::platform
