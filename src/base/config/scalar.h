// File: base/config/scalar.h
//
// Plain scalars as values: YAML 1.2's core schema, without its octal and hexadecimal numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace oneai {

// nullopt: not of this type.
std::optional<bool> ParseBool(absl::string_view text);
std::optional<int64_t> ParseInteger(absl::string_view text);  // "12", also "1e6" when whole
std::optional<double> ParseNumber(absl::string_view text);    // finite
std::optional<int64_t> ParseBytes(absl::string_view text);    // "2GiB", "1.5GB", "1e9", "4096"
std::optional<int64_t> ParseMilliseconds(
    absl::string_view text);  // "10s", "1.5h", "500ms", "30" (seconds)

// `text` as a JSON string, quotes included.
std::string JsonQuote(absl::string_view text);
// A plain scalar as JSON null, bool or number where it is one; text otherwise.
std::string ScalarToJson(absl::string_view text, bool is_quoted);

}  // namespace oneai
