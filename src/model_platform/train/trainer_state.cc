#include "model_platform/train/trainer_state.h"

#include <limits>

#include "base/status.h"
#include "models/json/json_reader.h"

namespace oneai::platform {
namespace {

constexpr models::IntRange kCount{0, std::numeric_limits<int64_t>::max()};

absl::StatusOr<TrainerState> Parse(absl::string_view text, absl::string_view what) {
  ASSIGN_OR_RETURN(const models::Json json, models::ParseJson(text, what));
  ASSIGN_OR_RETURN(const models::JsonObject object, models::JsonObject::From(json, what));
  TrainerState s;
  ASSIGN_OR_RETURN(s.step, object.Int("step", kCount));
  ASSIGN_OR_RETURN(s.consumed_samples, object.Int("consumed_samples", kCount));
  ASSIGN_OR_RETURN(s.optimizer_steps, object.Int("optimizer_steps", kCount));
  ASSIGN_OR_RETURN(s.skipped_steps, object.Int("skipped_steps", kCount));
  ASSIGN_OR_RETURN(s.seed, object.Int("seed", kCount));
  ASSIGN_OR_RETURN(s.world_size, object.Int("world_size", {1, 1 << 20}));
  ASSIGN_OR_RETURN(s.settings_sha256, object.String("settings_sha256"));
  ASSIGN_OR_RETURN(s.dataset, object.String("dataset"));
  ASSIGN_OR_RETURN(s.dataset_sha256, object.String("dataset_sha256"));
  const models::Json* losses = object.Find("losses");
  if (losses == nullptr || !losses->is_array() || losses->size() > kLossHistory) {
    return object.Error("losses", "expected a short list of numbers");
  }
  for (const models::Json& loss : *losses) {
    // JSON cannot hold NaN; a loss that was not finite is stored as null.
    if (!loss.is_number() && !loss.is_null()) return object.Error("losses", "expected numbers");
    s.losses.push_back(loss.is_null() ? std::numeric_limits<double>::quiet_NaN()
                                      : loss.get<double>());
  }
  return s;
}

}  // namespace

std::string ToJson(const TrainerState& s) {
  const models::Json json = {{"step", s.step},
                             {"consumed_samples", s.consumed_samples},
                             {"optimizer_steps", s.optimizer_steps},
                             {"skipped_steps", s.skipped_steps},
                             {"seed", s.seed},
                             {"world_size", s.world_size},
                             {"settings_sha256", s.settings_sha256},
                             {"dataset", s.dataset},
                             {"dataset_sha256", s.dataset_sha256},
                             {"losses", s.losses}};
  return json.dump(2);
}

absl::StatusOr<TrainerState> ParseTrainerState(absl::string_view text, absl::string_view what) {
  absl::StatusOr<TrainerState> state = Parse(text, what);
  if (!state.ok()) return absl::DataLossError(state.status().message());
  return state;
}

}  // namespace oneai::platform
