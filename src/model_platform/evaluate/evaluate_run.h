// File: model_platform/evaluate/evaluate_run.h
//
// An evaluation job: look the model up -> open the data for the stated purpose -> score -> attach
// the result to the model's version.
#pragma once

#include "absl/status/status.h"
#include "model_platform/settings/settings.h"
#include "model_platform/train/run_context.h"

namespace oneai::platform {

// Ranks other than 0 have nothing to do. FailedPrecondition: the split is empty, or unknown (the
// model's lineage has no training settings and the job states no ratio). Otherwise the errors of
// RegistryClient, DatasetSource, CpuModel and Tokenizer.
absl::Status RunEvaluate(const EvaluateSettings& settings, const RunContext& context);

}  // namespace oneai::platform
