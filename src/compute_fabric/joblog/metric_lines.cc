#include "compute_fabric/joblog/metric_lines.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace oneai::fabric {
namespace {

using Json = nlohmann::json;

constexpr size_t kValuesMax = 64;

bool IsSeriesName(absl::string_view key) {
  return !key.empty() && key.size() <= 64 && std::all_of(key.begin(), key.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '/' || c == '-';
  });
}

int64_t IntegerOr0(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number()) return 0;
  if (it->is_number_integer()) return std::max<int64_t>(0, it->get<int64_t>());
  const double value = it->get<double>();
  return std::isfinite(value) && value > 0 && value < 9e15 ? static_cast<int64_t>(value) : 0;
}

std::string TextOrEmpty(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

bool IsRelativePath(absl::string_view path) {
  if (path.size() > 512 || (!path.empty() && path[0] == '/')) return false;
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part == "..") return false;
  }
  return std::none_of(path.begin(), path.end(),
                      [](char c) { return absl::ascii_iscntrl(c) || c == '\\'; });
}

std::optional<MetricLine> ParseEvent(const Json& object) {
  static const std::set<std::string>* const kKinds =
      new std::set<std::string>{"checkpoint.saved", "checkpoint.failed", "job.resumed",
                                "model.registered", "evaluation.attached"};
  ReportedEvent event{.kind = TextOrEmpty(object, "event"),
                      .step = IntegerOr0(object, "step"),
                      .path = TextOrEmpty(object, "path"),
                      .message = Printable(TextOrEmpty(object, "message"), 1024)};
  if (kKinds->count(event.kind) == 0 || !IsRelativePath(event.path)) return std::nullopt;
  event.path = Printable(event.path, 512);
  return event;
}

// The length of the valid UTF-8 sequence at the start of `text`; 0 when there is none.
size_t Utf8Length(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const size_t length = lead < 0x80                   ? 1
                        : lead >= 0xC2 && lead < 0xE0 ? 2
                        : lead >= 0xE0 && lead < 0xF0 ? 3
                        : lead >= 0xF0 && lead < 0xF5 ? 4
                                                      : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong_or_surrogate =
      (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xED && byte(1) >= 0xA0) ||
      (lead == 0xF0 && byte(1) < 0x90) || (lead == 0xF4 && byte(1) >= 0x90);
  return overlong_or_surrogate ? 0 : length;
}

}  // namespace

std::string Printable(absl::string_view text, size_t bytes_max) {
  std::string result;
  while (!text.empty() && result.size() < bytes_max) {
    const size_t length = Utf8Length(text);
    const bool control =
        length == 1 && absl::ascii_iscntrl(text[0]) && text[0] != '\n' && text[0] != '\t';
    const bool c1_control =
        length == 2 && text[0] == '\xC2' && static_cast<unsigned char>(text[1]) < 0xA0;
    if (length == 0 || control || c1_control) {
      result += '?';
    } else if (result.size() + length <= bytes_max) {
      result.append(text.data(), length);
    } else {
      break;
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return result;
}

std::optional<MetricLine> ParseMetricLine(absl::string_view line) {
  if (line.size() > kMetricLineBytesMax) return std::nullopt;
  // Bounded depth: a line is one flat object, and a deep one would cost stack in the parser's
  // destructor.
  if (std::count(line.begin(), line.end(), '[') + std::count(line.begin(), line.end(), '{') > 32)
    return std::nullopt;
  const Json object = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return std::nullopt;
  if (object.contains("event")) return ParseEvent(object);
  MetricSample sample{.step = IntegerOr0(object, "step"), .unix_ms = IntegerOr0(object, "unix_ms")};
  for (const auto& [key, value] : object.items()) {
    if (key == "step" || key == "unix_ms" || !value.is_number() || !IsSeriesName(key)) continue;
    if (const double number = value.get<double>(); std::isfinite(number))
      sample.values.emplace_back(key, number);
    if (sample.values.size() == kValuesMax) break;
  }
  return sample;
}

}  // namespace oneai::fabric
