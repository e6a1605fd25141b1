// File: compute_fabric/joblog/metric_lines.h
//
// The lines that a task appends to $ONEAI_METRICS_FILE (docs/architecture.md). They come from any
// program, so every byte is checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"

namespace oneai::fabric {

inline constexpr size_t kMetricLineBytesMax = 16 << 10;

struct MetricSample {
  int64_t step = 0;
  int64_t unix_ms = 0;
  std::vector<std::pair<std::string, double>> values;  // finite
};

// {"event":"checkpoint.saved","step":40,"path":"checkpoint-40","message":"..."}
struct ReportedEvent {
  std::string kind;  // one of the kinds of docs/architecture.md
  int64_t step = 0;
  std::string path;     // relative, without ".."; empty: none
  std::string message;  // printable
};

using MetricLine = std::variant<MetricSample, ReportedEvent>;

// Nullopt for anything that is not a well-formed line of at most kMetricLineBytesMax bytes: no
// object, unknown event, bad path. Numbers that are not finite, and keys that are no names
// ([A-Za-z0-9_./-], at most 64 characters), are left out.
std::optional<MetricLine> ParseMetricLine(absl::string_view line);

// `text` with control characters and invalid UTF-8 replaced, cut at `bytes_max`: fit for a
// terminal, a page and a proto string.
std::string Printable(absl::string_view text, size_t bytes_max);

}  // namespace oneai::fabric
