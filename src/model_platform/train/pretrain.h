// File: model_platform/train/pretrain.h
//
// A pre-training job from the point of view of one rank: prepare data -> join the gang -> resume ->
// steps with checkpoints -> final model -> register.
#pragma once

#include "absl/status/status.h"
#include "model_platform/settings/settings.h"
#include "model_platform/train/run_context.h"

namespace oneai::platform {

// Returns when the job is done on this rank. Cancelled: stopped on request, after a checkpoint.
// Aborted: a newer attempt of the job is running. Unavailable: another rank is gone.
// FailedPrecondition: the checkpoints in the artifact folder are of other settings; or too many
// steps in a row were not finite. ResourceExhausted: the final model could not be written.
// Otherwise the errors of PrepareData, Trainer and RegistryClient.
absl::Status RunPretrain(const PretrainSettings& settings, const RunContext& context);

}  // namespace oneai::platform
