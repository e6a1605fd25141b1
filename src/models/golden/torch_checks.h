// File: models/golden/torch_checks.h
//
// Holds the training model, in float32, against a fixture: logits, loss, gradients, optimizer
// steps.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "models/golden/fixture.h"
#include "models/golden/report.h"

namespace oneai::models::golden {

// Adds to `report`, each check named with `suffix`: logits of all text prompts packed into one
// batch of documents, and, when the fixture has a training golden, its loss, gradients, gradient
// norm, and the losses and parameters of its AdamW steps. Errors as CheckOnCpu; exceptions of
// LibTorch come back as Internal.
absl::Status CheckWithTorch(const Fixture& fixture, const ModelConfig& config,
                            absl::string_view suffix, Report& report);

}  // namespace oneai::models::golden
