#include "model_platform/train/pretrain.h"

#include <cstdio>
#include <memory>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/log/log.h"
#include "base/status.h"
#include "model_platform/data/prepare.h"
#include "model_platform/train/attempt_fence.h"
#include "model_platform/train/checkpoint_folder.h"
#include "model_platform/train/metrics_log.h"
#include "model_platform/train/model_files.h"
#include "model_platform/train/rank_group.h"
#include "model_platform/train/trainer.h"

namespace oneai::platform {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kPrepareTimeout = absl::Hours(6);
// A run that diverged for good should not burn its allocation.
constexpr int kSkippedInARowMax = 20;

// Progress for people, on the task's log.
template <typename... Args>
void Say(const absl::FormatSpec<Args...>& format, const Args&... args) {
  absl::PrintF("%s\n", absl::StrFormat(format, args...));
  std::fflush(stdout);
}

// The state of one rank's run.
class PretrainRun {
 public:
  PretrainRun(const PretrainSettings& settings, const RunContext& context)
      : settings_(settings),
        context_(context),
        task_(context.task),
        fence_(task_.artifact_dir, task_.attempt),
        settings_sha256_(Sha256Hex(CanonicalJson(settings))) {}

  absl::Status Run() {
    RETURN_IF_ERROR(Prepare());
    ASSIGN_OR_RETURN(group_, RankGroup::Join(task_));
    RETURN_IF_ERROR(MakeTrainer());
    RETURN_IF_ERROR(Resume());
    RETURN_IF_ERROR(Train());
    return is_root() ? Finish() : absl::OkStatus();
  }

 private:
  bool is_root() const { return task_.rank == 0; }

  absl::Status Prepare();
  absl::Status MakeTrainer();
  absl::Status Resume();
  absl::Status LoadNewest();
  absl::Status Train();
  absl::Status SaveCheckpoint();
  absl::Status WriteModel(const fs::path& folder) const;
  absl::Status Finish();
  absl::Status Register();
  void Report(const StepResult& result, absl::Time now);

  const PretrainSettings& settings_;
  const RunContext& context_;
  const TaskEnvironment& task_;
  const AttemptFence fence_;
  const std::string settings_sha256_;

  PreparedData data_;
  std::unique_ptr<MetricsLog> metrics_;
  std::unique_ptr<RankGroup> group_;
  std::unique_ptr<Trainer> trainer_;
  // Since the last report.
  absl::Time interval_begin_;
  int64_t interval_tokens_ = 0, interval_steps_ = 0;
};

absl::Status PretrainRun::Prepare() {
  const fs::path folder = task_.artifact_dir / "data";
  ASSIGN_OR_RETURN(metrics_, MetricsLog::Open(is_root() ? task_.metrics_file : fs::path()));
  if (!is_root()) {
    RETURN_IF_ERROR(AwaitReady(folder, task_.attempt, kPrepareTimeout));
    ASSIGN_OR_RETURN(data_, ReadPrepared(folder));
    return absl::OkStatus();
  }
  std::error_code error;
  fs::create_directories(task_.artifact_dir, error);
  if (error) return ErrnoStatus(error.value(), "making " + task_.artifact_dir.string());
  RETURN_IF_ERROR(fence_.Enter());
  Say("preparing %s for %s", settings_.dataset, settings_.purpose);
  ASSIGN_OR_RETURN(data_, PrepareData(settings_, folder, task_.registry_dir, context_.datasets));
  Say("%s@%d: %d documents, %d tokens to train on, %d documents held out, vocabulary %d",
      data_.dataset, data_.version, data_.train_documents, data_.train_tokens,
      data_.held_out_documents, data_.vocab_size);
  return AnnounceReady(folder, task_.attempt);
}

absl::Status PretrainRun::MakeTrainer() {
  ASSIGN_OR_RETURN(const models::ModelConfig config, MakeModelConfig(settings_, data_));
  ASSIGN_OR_RETURN(TokenFile tokens, TokenFile::Open(data_.train_prefix()));
  ASSIGN_OR_RETURN(
      PackedSequences sequences,
      PackedSequences::Create(std::move(tokens), settings_.max_length, data_.vocab_size,
                              static_cast<uint64_t>(settings_.seed)));
  ASSIGN_OR_RETURN(trainer_, Trainer::Create(settings_, config, std::move(sequences), group_.get(),
                                             task_.num_tasks_max, task_.num_threads));
  TrainerState& state = trainer_->state();
  state.seed = settings_.seed;
  state.world_size = group_->size();
  state.settings_sha256 = settings_sha256_;
  state.dataset = absl::StrCat(data_.dataset, "@", data_.version);
  state.dataset_sha256 = data_.sha256;
  if (is_root()) {
    Say("%s, %d parameters, %d rank(s) with %d thread(s) each, %d tokens a step",
        settings_.model.architecture, trainer_->num_parameters(), group_->size(), task_.num_threads,
        settings_.max_length * settings_.per_device_train_batch_size *
            settings_.gradient_accumulation_steps * task_.num_tasks_max);
  }
  return absl::OkStatus();
}

// Rank 0 alone reads the disk; the others take its state, so that all agree by construction.
absl::Status PretrainRun::Resume() {
  if (is_root()) RETURN_IF_ERROR(LoadNewest());
  RETURN_IF_ERROR(trainer_->ShareState());
  interval_begin_ = absl::Now();
  return absl::OkStatus();
}

absl::Status PretrainRun::LoadNewest() {
  const auto found = FindNewestWhole(
      task_.artifact_dir, [&](const FoundCheckpoint& broken, const absl::Status& why) {
        Say("checkpoint-%d is broken and passed over: %s", broken.step, why.message());
        metrics_->Event("checkpoint.failed", broken.step, why.message());
      });
  if (!found.has_value()) return absl::OkStatus();
  RETURN_IF_ERROR(trainer_->LoadState(found->folder));
  TrainerState& state = trainer_->state();
  if (state.settings_sha256 != settings_sha256_ || state.dataset_sha256 != data_.sha256) {
    return absl::FailedPreconditionError(
        absl::StrCat(found->folder.string(),
                     " was made with other settings or other data than this "
                     "attempt has; submit a new job instead"));
  }
  state.world_size = group_->size();
  const std::string message =
      absl::StrFormat("attempt %d goes on after step %d", task_.attempt, state.step);
  Say("%s", message);
  metrics_->Event("job.resumed", state.step, message, {{"path", CheckpointName(state.step)}});
  return absl::OkStatus();
}

absl::Status PretrainRun::Train() {
  int skipped_in_a_row = 0;
  while (trainer_->state().step < settings_.max_steps) {
    ASSIGN_OR_RETURN(const StepResult result, trainer_->TrainStep(context_.stop_requested));
    const int64_t step = trainer_->state().step;
    interval_tokens_ += result.tokens;
    ++interval_steps_;
    skipped_in_a_row = result.skipped ? skipped_in_a_row + 1 : 0;
    if (is_root() && result.skipped) {
      Say("step %d: loss %g, gradient norm %g: not finite, no update", step, result.loss,
          result.grad_norm);
    }
    if (step % settings_.logging_steps == 0 || step == settings_.max_steps) {
      Report(result, absl::Now());
    }
    if (skipped_in_a_row == kSkippedInARowMax) {
      return absl::FailedPreconditionError(absl::StrCat(
          "loss or gradient was not finite in ", skipped_in_a_row, " steps in a row up to step ",
          step, ": lower learning_rate or look at the data"));
    }
    const bool save = step % settings_.save_steps == 0 || step == settings_.max_steps;
    if (is_root() && (save || result.stop)) RETURN_IF_ERROR(SaveCheckpoint());
    if (result.stop && step < settings_.max_steps) {
      return absl::CancelledError(absl::StrCat("stopped on request after step ", step));
    }
  }
  return absl::OkStatus();
}

void PretrainRun::Report(const StepResult& result, absl::Time now) {
  const double seconds = absl::ToDoubleSeconds(now - interval_begin_);
  const double tokens_per_second = static_cast<double>(interval_tokens_) / seconds;
  const double step_seconds = seconds / static_cast<double>(interval_steps_);
  interval_begin_ = now;
  interval_tokens_ = interval_steps_ = 0;
  if (!is_root()) return;
  const int64_t step = trainer_->state().step;
  Say("step %4d/%d | loss %.4f | grad_norm %.3f | lr %.2e | epoch %.2f | %.0f tok/s | %.3f s/step",
      step, settings_.max_steps, result.loss, result.grad_norm, result.learning_rate,
      trainer_->epoch(), tokens_per_second, step_seconds);
  metrics_->Step(step, now,
                 {{"loss", result.loss},
                  {"grad_norm", result.grad_norm},
                  {"learning_rate", result.learning_rate},
                  {"epoch", trainer_->epoch()},
                  {"tokens_per_second", tokens_per_second},
                  {"step_seconds", step_seconds},
                  {"skipped_steps", static_cast<double>(trainer_->state().skipped_steps)}});
}

absl::Status PretrainRun::WriteModel(const fs::path& folder) const {
  RETURN_IF_ERROR(trainer_->SaveModel(folder));
  return WriteModelFiles(settings_, data_, trainer_->state(),
                         {context_.code_revision, task_.job_id, trainer_->num_parameters()},
                         folder);
}

// Only a newer attempt is an error here. When the checkpoint cannot be written, training goes on
// with the older ones in place, and the fabric is told.
absl::Status PretrainRun::SaveCheckpoint() {
  const absl::Time begin = absl::Now();
  const int64_t step = trainer_->state().step;
  const std::string name = CheckpointName(step);
  absl::Status status =
      PublishFolder(task_.artifact_dir, name, fence_, [&](const fs::path& folder) {
        const absl::Status model = WriteModel(folder);
        return model.ok() ? trainer_->SaveState(folder) : model;
      });
  if (status.ok()) status = VerifyFolder(task_.artifact_dir / name);
  if (status.ok()) {
    status = PruneCheckpoints(task_.artifact_dir, settings_.save_total_limit, fence_);
  }
  if (absl::IsAborted(status)) return status;
  const absl::Duration took = absl::Now() - begin;
  interval_begin_ += took;  // saving is not training
  if (!status.ok()) {
    Say("step %d: the checkpoint could not be saved, training goes on: %s", step, status.message());
    metrics_->Event("checkpoint.failed", step, status.message(), {{"path", name}});
    return absl::OkStatus();
  }
  const std::string message =
      absl::StrFormat("saved %s in %.2f s", name, absl::ToDoubleSeconds(took));
  Say("%s", message);
  metrics_->Event("checkpoint.saved", step, message, {{"path", name}});
  return absl::OkStatus();
}

absl::Status PretrainRun::Finish() {
  RETURN_IF_ERROR(PublishFolder(task_.artifact_dir, "final", fence_,
                                [&](const fs::path& folder) { return WriteModel(folder); }));
  RETURN_IF_ERROR(VerifyFolder(task_.artifact_dir / "final"));
  Say("the model is in final/ after %d steps, loss %.4f", trainer_->state().step,
      trainer_->state().losses.back());
  return settings_.register_as.empty() ? absl::OkStatus() : Register();
}

absl::Status PretrainRun::Register() {
  registry::v1::RegisterModelRequest request;
  request.set_name(settings_.register_as);
  request.set_source_dir((task_.artifact_dir / "final").string());
  registry::v1::Lineage& lineage = *request.mutable_lineage();
  lineage.set_job_id(task_.job_id);
  lineage.set_code_revision(context_.code_revision);
  lineage.set_config_json(CanonicalJson(settings_));
  lineage.set_checkpoint(CheckpointName(trainer_->state().step));
  registry::v1::DatasetRef& dataset = *lineage.add_datasets();
  dataset.set_name(data_.dataset);
  dataset.set_version(data_.version);
  dataset.set_sha256(data_.sha256);
  ASSIGN_OR_RETURN(const registry::v1::ModelVersion version, context_.models.Register(request));
  const std::string ref = absl::StrCat(version.name(), "@", version.version());
  Say("registered as %s", ref);
  metrics_->Event("model.registered", trainer_->state().step, "registered as " + ref,
                  {{"model", ref}, {"sha256", version.sha256()}});
  return absl::OkStatus();
}

}  // namespace

absl::Status RunPretrain(const PretrainSettings& settings, const RunContext& context) {
  return PretrainRun(settings, context).Run();
}

}  // namespace oneai::platform
