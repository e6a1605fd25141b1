// File: models/golden/cpu_checks.h
//
// Holds the serving model, in float32, against a fixture's prompts.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "models/golden/fixture.h"
#include "models/golden/report.h"

namespace oneai::models::golden {

// Runs `checkpoint` (the fixture's weights, with `adapter` merged unless it is "") under `config`
// on the cases of that adapter and adds to `report`, each check named with `suffix`:
// logits of every position, traced hidden states, greedy continuations by cached decoding of all
// prompts in one ragged batch, pooled embeddings, yes/no scores and class scores. A deviation is a
// result; an error means that a check could not be made: weights that do not load, golden tensors
// that are missing or misshapen.
absl::Status CheckOnCpu(const Fixture& fixture, const ModelConfig& config, Checkpoint checkpoint,
                        absl::string_view adapter, absl::string_view suffix, Report& report);

}  // namespace oneai::models::golden
