// File: model_platform/train/trainer_state.h
//
// Where a run stands, apart from its tensors: `trainer/trainer_state.json` of a checkpoint.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace oneai::platform {

inline constexpr size_t kLossHistory = 128;

struct TrainerState {
  int64_t step = 0;              // finished steps, skipped ones included
  int64_t consumed_samples = 0;  // sequences: where the data goes on
  int64_t optimizer_steps = 0;   // updates applied: AdamW's t
  int64_t skipped_steps = 0;     // updates left out because loss or gradient was not finite
  // The seed is all the random state there is: initial weights and the order of data are functions
  // of it, and nothing else is drawn.
  int64_t seed = 0;
  int64_t world_size = 1;
  std::string settings_sha256;  // of CanonicalJson
  std::string dataset;          // name@version
  std::string dataset_sha256;
  std::vector<double> losses;  // of the last kLossHistory steps, newest last

  bool operator==(const TrainerState&) const = default;
};

std::string ToJson(const TrainerState& state);
// DataLoss, naming `what` and the key.
absl::StatusOr<TrainerState> ParseTrainerState(absl::string_view json, absl::string_view what);

}  // namespace oneai::platform
