// File: models/golden/hybrid_checks.h
//
// What only models with Gated DeltaNet layers have: the layers' inside, and the draft head.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "models/golden/fixture.h"
#include "models/golden/report.h"
#include "models/runtime/cpu_model.h"

namespace oneai::models::golden {

// Compares what layer 0 of `model`, a linear-attention layer, has just computed of the whole prompt
// of `golden` in `slot` of `state`: its inputs to the recurrence, gates, outputs and final state.
absl::Status CheckDeltaNet(const Fixture& fixture, const GoldenCase& golden, const CpuModel& model,
                           RecurrentState& state, int32_t slot, absl::string_view suffix,
                           Report& report);

// Loads `checkpoint` with its multi-token-prediction head, lets it guess along the fixture's prompt
// and compares its stages. A fixture without such a golden: nothing.
absl::Status CheckDraftHead(const Fixture& fixture, const ModelConfig& config,
                            const Checkpoint& checkpoint, absl::string_view suffix, Report& report);

}  // namespace oneai::models::golden
