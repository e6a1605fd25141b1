#include "model_platform/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model_platform/train/flat_adamw.h"
#include "model_platform/train/lr_schedule.h"
#include "model_platform/train/rank_group.h"
#include "model_platform/train/torch_boundary.h"
#include "model_platform/train/trainer_tensors.h"

namespace oneai::platform {

Trainer::Trainer(const PretrainSettings& settings, PackedSequences sequences, RankGroup* group,
                 int batch_ranks)
    : settings_(settings),
      sequences_(std::move(sequences)),
      group_(group),
      batch_ranks_(batch_ranks) {}
Trainer::~Trainer() = default;

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(const PretrainSettings& settings,
                                                         const models::ModelConfig& config,
                                                         PackedSequences sequences,
                                                         RankGroup* group, int batch_ranks,
                                                         int num_threads) {
  std::unique_ptr<Trainer> trainer(new Trainer(settings, std::move(sequences), group, batch_ranks));
  RETURN_IF_ERROR(WithinTorch("making the model", [&]() -> absl::Status {
    at::set_num_threads(num_threads);
    ASSIGN_OR_RETURN(models::TorchWeights weights,
                     models::InitWeights(config, static_cast<uint64_t>(settings.seed)));
    AdamWOptions options;
    options.beta1 = settings.adam_beta1;
    options.beta2 = settings.adam_beta2;
    options.epsilon = settings.adam_epsilon;
    options.weight_decay = settings.weight_decay;
    trainer->tensors_ = std::make_unique<Tensors>(std::move(weights), options);
    return absl::OkStatus();
  }));
  return trainer;
}

absl::Status Trainer::AccumulateMicroBatch(int64_t first_sample, double& loss_sum,
                                           int64_t& num_targets) {
  std::vector<int64_t> tokens, targets, cu_seqlens;
  for (int64_t i = 0; i < settings_.per_device_train_batch_size; ++i) {
    ASSIGN_OR_RETURN(const PackedSequence sequence, sequences_.Get(first_sample + i));
    const int64_t base = static_cast<int64_t>(tokens.size());
    for (const int64_t start : sequence.document_starts) cu_seqlens.push_back(base + start);
    tokens.insert(tokens.end(), sequence.tokens.begin(), sequence.tokens.end());
    targets.insert(targets.end(), sequence.targets.begin(), sequence.targets.end());
  }
  cu_seqlens.push_back(static_cast<int64_t>(tokens.size()));
  const models::TorchBatch batch =
      models::MakeTorchBatch(torch::tensor(tokens, torch::kInt64), std::move(cu_seqlens));
  const models::LossSum loss =
      models::Loss(tensors_->weights, batch, torch::tensor(targets, torch::kInt64),
                   settings_.bf16 ? torch::kBFloat16 : torch::kFloat32);
  // The gradient of the sum; the division by the global number of targets comes after the
  // reduction, when that number is known.
  torch::Tensor objective = loss.sum;
  if (loss.load_balancing.defined()) {
    // Weighted by targets, so that the division makes it a mean over micro-batches.
    const double weight = tensors_->weights.config.moe.aux_loss_weight;
    objective = objective + loss.load_balancing * (weight * static_cast<double>(loss.num_tokens));
  }
  objective.backward();
  loss_sum += loss.sum.item<double>();
  num_targets += loss.num_tokens;
  return absl::OkStatus();
}

absl::StatusOr<StepResult> Trainer::TrainStep(bool stop_requested) {
  const int64_t batch = settings_.per_device_train_batch_size;
  const int64_t num_micro_batches = settings_.gradient_accumulation_steps * batch_ranks_;
  StepResult result;
  result.learning_rate = LearningRate(settings_, state_.step);
  FlatAdamW& adamw = tensors_->adamw;
  RETURN_IF_ERROR(WithinTorch("training step", [&]() -> absl::Status {
    double loss_sum = 0;
    int64_t num_targets = 0;
    adamw.ZeroGrads();
    // In turn, so that with as many ranks as the batch is meant for each has its usual share.
    for (int64_t micro = group_->rank(); micro < num_micro_batches; micro += group_->size()) {
      RETURN_IF_ERROR(
          AccumulateMicroBatch(state_.consumed_samples + micro * batch, loss_sum, num_targets));
    }
    torch::Tensor totals = torch::tensor(
        {loss_sum, static_cast<double>(num_targets), stop_requested ? 1.0 : 0.0}, torch::kFloat64);
    RETURN_IF_ERROR(group_->Sum(totals));
    RETURN_IF_ERROR(group_->Sum(adamw.grads()));
    const double all_targets = std::max(1.0, totals[1].item<double>());
    adamw.grads().div_(all_targets);
    result.loss = totals[0].item<double>() / all_targets;
    result.stop = totals[2].item<double>() > 0;
    result.grad_norm = ClipGradNorm(adamw.grads(), settings_.max_grad_norm);
    result.skipped = !std::isfinite(result.loss) || !std::isfinite(result.grad_norm);
    if (!result.skipped) adamw.Step(result.learning_rate);
    return absl::OkStatus();
  }));
  const int64_t samples = num_micro_batches * batch;
  result.tokens = samples * settings_.max_length;
  ++state_.step;
  state_.consumed_samples += samples;
  state_.optimizer_steps = adamw.steps();
  state_.skipped_steps += result.skipped ? 1 : 0;
  state_.losses.push_back(result.loss);
  if (state_.losses.size() > kLossHistory) state_.losses.erase(state_.losses.begin());
  return result;
}

absl::Status Trainer::ShareState() {
  ASSIGN_OR_RETURN(const std::string text, group_->Broadcast(ToJson(state_)));
  ASSIGN_OR_RETURN(state_, ParseTrainerState(text, "rank 0's state"));
  FlatAdamW& adamw = tensors_->adamw;
  adamw.set_steps(state_.optimizer_steps);
  RETURN_IF_ERROR(group_->Broadcast(adamw.values()));
  RETURN_IF_ERROR(group_->Broadcast(adamw.exp_avg()));
  return group_->Broadcast(adamw.exp_avg_sq());
}

int64_t Trainer::num_parameters() const { return tensors_->weights.num_parameters(); }

double Trainer::epoch() const {
  return static_cast<double>(state_.consumed_samples) /
         static_cast<double>(sequences_.sequences_per_epoch());
}

}  // namespace oneai::platform
