#include "base/config/scalar.h"

#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace oneai {
namespace {

// 2^63 is the first double that int64_t cannot hold.
constexpr double kInt64End = 9223372036854775808.0;

std::optional<int64_t> ToInteger(double value) {
  if (!(value > -kInt64End && value < kInt64End) || value != std::floor(value)) return std::nullopt;
  return static_cast<int64_t>(value);
}

// Digits, sign, point and exponent only: SimpleAtod would also take "nan" and "infinity".
bool LooksNumeric(absl::string_view text) {
  bool has_digit = false;
  for (const char c : text) {
    const bool is_digit = absl::ascii_isdigit(static_cast<unsigned char>(c));
    has_digit = has_digit || is_digit;
    if (!is_digit && c != '+' && c != '-' && c != '.' && c != 'e' && c != 'E') return false;
  }
  return has_digit;
}

}  // namespace

std::optional<bool> ParseBool(absl::string_view text) {
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  return std::nullopt;
}

std::optional<double> ParseNumber(absl::string_view text) {
  double value = 0;
  if (!LooksNumeric(text) || !absl::SimpleAtod(text, &value) || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

std::optional<int64_t> ParseInteger(absl::string_view text) {
  int64_t value = 0;
  if (LooksNumeric(text) && absl::SimpleAtoi(text, &value)) return value;
  const std::optional<double> number = ParseNumber(text);
  return number.has_value() ? ToInteger(*number) : std::nullopt;
}

std::optional<int64_t> ParseBytes(absl::string_view text) {
  static constexpr std::pair<absl::string_view, double> kUnits[] = {
      {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0},
      {"KB", 1e3},     {"kB", 1e3},        {"MB", 1e6},           {"GB", 1e9},
      {"TB", 1e12},    {"B", 1.0}};
  double factor = 1;
  for (const auto& [suffix, bytes] : kUnits) {
    if (!absl::EndsWith(text, suffix)) continue;
    text = absl::StripTrailingAsciiWhitespace(text.substr(0, text.size() - suffix.size()));
    factor = bytes;
    break;
  }
  if (factor == 1) {
    const std::optional<int64_t> exact = ParseInteger(text);
    return exact.has_value() && *exact >= 0 ? exact : std::nullopt;
  }
  const std::optional<double> number = ParseNumber(text);
  if (!number.has_value() || *number < 0) return std::nullopt;
  return ToInteger(std::round(*number * factor));
}

std::optional<int64_t> ParseMilliseconds(absl::string_view text) {
  const std::optional<double> seconds = ParseNumber(text);
  absl::Duration duration;
  if (seconds.has_value()) {
    duration = absl::Seconds(*seconds);
  } else if (!absl::ParseDuration(text, &duration)) {
    return std::nullopt;
  }
  if (duration < absl::ZeroDuration() || duration == absl::InfiniteDuration()) return std::nullopt;
  return absl::ToInt64Milliseconds(duration);
}

std::string JsonQuote(absl::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppend(&json, absl::StrFormat("\\u%04x", byte));
    } else {
      json += c;
    }
  }
  return json + "\"";
}

std::string ScalarToJson(absl::string_view text, bool is_quoted) {
  if (is_quoted) return JsonQuote(text);
  if (const std::optional<bool> value = ParseBool(text)) return *value ? "true" : "false";
  if (const std::optional<int64_t> value = ParseInteger(text)) return absl::StrCat(*value);
  // 17 digits give every double back exactly.
  if (const std::optional<double> value = ParseNumber(text))
    return absl::StrFormat("%.17g", *value);
  return JsonQuote(text);
}

}  // namespace oneai
