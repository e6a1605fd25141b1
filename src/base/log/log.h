// File: base/log/log.h
//
// Structured logging: one JSON object a line to stderr (and a rotated file), on spdlog. `msg` is
// constant text, values are fields, control characters are escaped. Prompts, completions and
// secrets are never logged.
//
//   Log::Info("task exited", {{"job", job_id}, {"rank", rank}, {"exit_code", code}});
#pragma once

#include <initializer_list>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace oneai {

// A field's value: text, integer, floating or bool.
class LogValue {
 public:
  LogValue(
      absl::string_view text);  // NOLINT(google-explicit-constructor): call sites list plain values
  LogValue(const std::string& text) : LogValue(absl::string_view(text)) {}
  LogValue(const char* text) : LogValue(absl::string_view(text)) {}
  LogValue(const absl::Status& status) : LogValue(absl::string_view(status.ToString())) {}
  LogValue(bool value);
  LogValue(int value) : LogValue(static_cast<long long>(value)) {}
  LogValue(long value) : LogValue(static_cast<long long>(value)) {}
  LogValue(long long value);
  LogValue(unsigned long value) : LogValue(static_cast<long long>(value)) {}
  LogValue(double value);
  const std::string& json() const { return json_; }

 private:
  std::string json_;
};

using LogField = std::pair<absl::string_view, LogValue>;

enum class LogLevel { kDebug, kInfo, kWarning, kError };

class Log {
 public:
  struct Options {
    std::string component;  // "controller", "node", ...
    std::string file;       // empty: stderr only
    LogLevel level = LogLevel::kInfo;
  };
  // Once, in main. Before it, messages go to stderr with component "oneai".
  static absl::Status Start(const Options& options);

  static void Debug(absl::string_view msg, std::initializer_list<LogField> fields = {});
  static void Info(absl::string_view msg, std::initializer_list<LogField> fields = {});
  static void Warning(absl::string_view msg, std::initializer_list<LogField> fields = {});
  static void Error(absl::string_view msg, std::initializer_list<LogField> fields = {});
};

// The line that would be written, without time: for tests and for other sinks.
std::string FormatLogLine(LogLevel level, absl::string_view component, absl::string_view msg,
                          std::initializer_list<LogField> fields);

}  // namespace oneai
