#include "serving/sampling/sampling_settings.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

constexpr size_t kStopsMax = 16;
constexpr size_t kStopBytesMax = 256;

// NaN compares false with everything, so it is refused too.
absl::Status CheckRange(const char* name, double value, double min, double max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", value, "; it must be from ", min, " to ", max));
}

absl::Status CheckPositive(const char* name, double value, double max) {
  if (value > 0 && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", value, "; it must be above 0 and at most ", max));
}

}  // namespace

absl::Status ValidateSampling(const SamplingSettings& s) {
  RETURN_IF_ERROR(CheckRange("temperature", s.temperature, 0, 100));
  RETURN_IF_ERROR(CheckPositive("top_p", s.top_p, 1));
  RETURN_IF_ERROR(CheckRange("min_p", s.min_p, 0, 1));
  RETURN_IF_ERROR(CheckRange("presence_penalty", s.presence_penalty, -2, 2));
  RETURN_IF_ERROR(CheckRange("frequency_penalty", s.frequency_penalty, -2, 2));
  RETURN_IF_ERROR(CheckPositive("repetition_penalty", s.repetition_penalty, 100));
  if (s.top_k < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("top_k is ", s.top_k, "; it must be 0 (off) or more"));
  }
  if (s.max_tokens < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_tokens is ", s.max_tokens, "; it must be at least 1"));
  }
  if (s.min_tokens < 0 || s.min_tokens > s.max_tokens) {
    return absl::InvalidArgumentError(absl::StrCat(
        "min_tokens is ", s.min_tokens, "; it must be from 0 to max_tokens, ", s.max_tokens));
  }
  if (s.stop.size() > kStopsMax || s.stop_token_ids.size() > kStopsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("stop has ", s.stop.size(), " strings and stop_token_ids ",
                     s.stop_token_ids.size(), " ids; at most ", kStopsMax, " of each are allowed"));
  }
  for (const std::string& stop : s.stop) {
    if (stop.empty() || stop.size() > kStopBytesMax) {
      return absl::InvalidArgumentError(absl::StrCat("a stop string has ", stop.size(),
                                                     " bytes; it must have 1 to ", kStopBytesMax));
    }
  }
  return absl::OkStatus();
}

}  // namespace oneai::serving
