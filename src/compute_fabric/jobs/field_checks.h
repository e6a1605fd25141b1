// File: compute_fabric/jobs/field_checks.h
//
// How a wrong field is refused: its name, what is wrong with it, and the nearest valid value.
#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace oneai::fabric {

// The value as it may be shown: escaped and short.
inline std::string Shown(absl::string_view value) {
  return absl::StrCat("\"", absl::CHexEscape(value.substr(0, 80)), value.size() > 80 ? "…" : "",
                      "\"");
}

inline absl::Status Wrong(absl::string_view field, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", problem));
}

inline absl::Status InRange(absl::string_view field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return Wrong(field, absl::StrCat(value, " is out of range ", min, "..", max,
                                   "; the nearest valid value is ", std::clamp(value, min, max)));
}

}  // namespace oneai::fabric
