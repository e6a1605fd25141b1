#include "model_platform/train/metrics_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/files/files.h"
#include "base/log/log.h"
#include "base/status.h"

namespace oneai::platform {

absl::StatusOr<std::unique_ptr<MetricsLog>> MetricsLog::Open(const std::filesystem::path& file) {
  if (file.empty()) return std::unique_ptr<MetricsLog>(new MetricsLog(-1));
  const int fd = open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("opening ", file.string()));
  return std::unique_ptr<MetricsLog>(new MetricsLog(fd));
}

MetricsLog::~MetricsLog() {
  if (fd_ >= 0) close(fd_);
}

void MetricsLog::Step(int64_t step, absl::Time now, const std::vector<Metric>& metrics) {
  nlohmann::json line = {{"step", step}, {"unix_ms", absl::ToUnixMillis(now)}};
  for (const Metric& metric : metrics) {
    if (std::isfinite(metric.value)) line[metric.name] = metric.value;
  }
  Append(line.dump());
}

void MetricsLog::Event(absl::string_view event, int64_t step, absl::string_view message,
                       const std::vector<std::pair<std::string, std::string>>& details) {
  nlohmann::json line = {
      {"event", std::string(event)}, {"step", step}, {"message", std::string(message)}};
  for (const auto& [key, value] : details) line[key] = value;
  Append(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void MetricsLog::Append(std::string line) {
  if (fd_ < 0) return;
  line += '\n';
  // One write a line: with O_APPEND the reader never sees half of one, short of a full disk.
  if (write(fd_, line.data(), line.size()) == static_cast<ssize_t>(line.size()) || failed_) return;
  failed_ = true;
  Log::Warning("metrics cannot be written; training goes on",
               {{"problem", ErrnoStatus(errno, "appending to the metrics file")}});
}

}  // namespace oneai::platform
