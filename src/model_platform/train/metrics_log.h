// File: model_platform/train/metrics_log.h
//
// What a run tells the fabric: one JSON object a line, appended to $ONEAI_METRICS_FILE, which the
// agent ships. Numbers become series named by their key; lines with "event" become fabric events.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace oneai::platform {

struct Metric {
  std::string name;
  double value;
};

// Thread-compatible. Failures to append are not errors of training: they are counted and told on
// stderr once, and the run goes on.
class MetricsLog {
 public:
  // Opens for appending. An empty path: a log that drops everything (ranks other than 0).
  static absl::StatusOr<std::unique_ptr<MetricsLog>> Open(const std::filesystem::path& file);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  // A value that is not finite is left out: JSON has no word for it.
  void Step(int64_t step, absl::Time now, const std::vector<Metric>& metrics);
  // `details` are further text fields of the event.
  void Event(absl::string_view event, int64_t step, absl::string_view message,
             const std::vector<std::pair<std::string, std::string>>& details = {});

 private:
  explicit MetricsLog(int fd) : fd_(fd) {}
  void Append(std::string line);

  const int fd_;  // -1: drops everything
  bool failed_ = false;
};

}  // namespace oneai::platform
