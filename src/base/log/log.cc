#include "base/log/log.h"

#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace oneai {
namespace {

constexpr size_t kFileBytesMax = 64 << 20;
constexpr size_t kNumOldFiles = 4;

// Everything outside printable ASCII is escaped: no text can forge a line, move a terminal's cursor
// or reverse its direction. Bytes that are not UTF-8 become U+FFFD.
std::string Quote(absl::string_view text) {
  return nlohmann::json(std::string(text))
      .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

absl::string_view NameOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "unknown";
}

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// What this process logs to. Replaced once, in main, before other threads start.
struct Output {
  std::string component = "oneai";
  std::shared_ptr<spdlog::logger> logger;
};

std::shared_ptr<spdlog::logger> NewLogger(std::vector<spdlog::sink_ptr> sinks, LogLevel level) {
  auto logger = std::make_shared<spdlog::logger>("oneai", sinks.begin(), sinks.end());
  logger->set_pattern("%v");
  logger->set_level(SpdlogLevel(level));
  // A log is read when something has just gone wrong, so nothing may sit in a buffer.
  logger->flush_on(spdlog::level::debug);
  return logger;
}

Output& CurrentOutput() {
  static Output output{
      "oneai", NewLogger({std::make_shared<spdlog::sinks::stderr_sink_mt>()}, LogLevel::kInfo)};
  return output;
}

// `{"level":...` continued by fields; both writers put their own opening before it.
std::string Body(LogLevel level, absl::string_view component, absl::string_view msg,
                 std::initializer_list<LogField> fields) {
  std::string body = absl::StrCat("\"level\":\"", NameOf(level),
                                  "\",\"component\":", Quote(component), ",\"msg\":", Quote(msg));
  for (const auto& [name, value] : fields) {
    absl::StrAppend(&body, ",", Quote(name), ":", value.json());
  }
  return body + "}";
}

void Write(LogLevel level, absl::string_view msg, std::initializer_list<LogField> fields) {
  const Output& output = CurrentOutput();
  if (!output.logger->should_log(SpdlogLevel(level))) return;
  const std::string time =
      absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone());
  const std::string line =
      absl::StrCat("{\"time\":\"", time, "\",", Body(level, output.component, msg, fields));
  output.logger->log(SpdlogLevel(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace

LogValue::LogValue(absl::string_view text) : json_(Quote(text)) {}
LogValue::LogValue(bool value) : json_(value ? "true" : "false") {}
LogValue::LogValue(long long value) : json_(absl::StrCat(value)) {}
LogValue::LogValue(double value) : json_(nlohmann::json(value).dump()) {}  // NaN: null

absl::Status Log::Start(const Options& options) {
  std::vector<spdlog::sink_ptr> sinks = {std::make_shared<spdlog::sinks::stderr_sink_mt>()};
  if (!options.file.empty()) {
    try {
      sinks.push_back(std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
          options.file, kFileBytesMax, kNumOldFiles));
    } catch (const std::exception& error) {
      return absl::FailedPreconditionError(
          absl::StrCat("cannot log to ", options.file, ": ", error.what()));
    }
  }
  CurrentOutput() = Output{options.component, NewLogger(std::move(sinks), options.level)};
  return absl::OkStatus();
}

void Log::Debug(absl::string_view msg, std::initializer_list<LogField> fields) {
  Write(LogLevel::kDebug, msg, fields);
}
void Log::Info(absl::string_view msg, std::initializer_list<LogField> fields) {
  Write(LogLevel::kInfo, msg, fields);
}
void Log::Warning(absl::string_view msg, std::initializer_list<LogField> fields) {
  Write(LogLevel::kWarning, msg, fields);
}
void Log::Error(absl::string_view msg, std::initializer_list<LogField> fields) {
  Write(LogLevel::kError, msg, fields);
}

std::string FormatLogLine(LogLevel level, absl::string_view component, absl::string_view msg,
                          std::initializer_list<LogField> fields) {
  return absl::StrCat("{", Body(level, component, msg, fields));
}

}  // namespace oneai
