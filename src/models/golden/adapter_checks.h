// File: models/golden/adapter_checks.h
//
// Holds adapters that are chosen per request against a fixture: one model, all prompts of the base
// and of every adapter in one batch.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "models/golden/fixture.h"
#include "models/golden/report.h"
#include "models/safetensors/checkpoint.h"

namespace oneai::models::golden {

// Loads every adapter of the fixture beside `base` and compares the logits of all text cases, run
// as one step of float32 serving. Errors as CheckOnCpu.
absl::Status CheckMixedAdapters(const Fixture& fixture, const ModelConfig& config,
                                const Checkpoint& base, absl::string_view suffix, Report& report);

}  // namespace oneai::models::golden
