#include "compute_fabric/node/health_monitor.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/log/log.h"
#include "base/process/child_process.h"

namespace oneai::fabric {
namespace {

constexpr size_t kMessageBytesMax = 300;
constexpr absl::Duration kPoll = absl::Milliseconds(50);

std::string LastLine(const std::string& text) {
  const std::vector<std::string> lines =
      absl::StrSplit(absl::StripAsciiWhitespace(text), '\n', absl::SkipEmpty());
  return lines.empty() ? "" : lines.back().substr(0, kMessageBytesMax);
}

std::string DescribeEnd(int status) {
  return WIFSIGNALED(status) ? absl::StrCat("killed by signal ", WTERMSIG(status))
                             : absl::StrCat("exited with ", WEXITSTATUS(status));
}

bool SaysTheSame(const std::vector<CheckResult>& a, const std::vector<CheckResult>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const CheckResult& x, const CheckResult& y) {
                      return x.name == y.name && x.healthy == y.healthy && x.message == y.message;
                    });
}

}  // namespace

std::vector<CheckResult> UpdateChecks(const std::vector<CheckResult>& before,
                                      const std::map<std::string, std::string>& broken_devices,
                                      const std::optional<CheckResult>& probe, absl::Time now) {
  std::map<std::string, CheckResult> after;
  for (const CheckResult& check : before) {
    const bool device = absl::StartsWith(check.name, "device:");
    // Devices are asked in every round; the probe's last word stands until its next run.
    after[check.name] = device ? CheckResult{check.name, true, "", now} : check;
  }
  for (const auto& [id, why] : broken_devices) {
    const std::string name = absl::StrCat("device:", id);
    after[name] = {name, false, why, now};
  }
  if (probe.has_value()) after[probe->name] = *probe;
  std::vector<CheckResult> checks;
  for (auto& [name, check] : after) {
    for (const CheckResult& old : before) {
      if (old.name == name && old.healthy == check.healthy) check.since = old.since;
    }
    checks.push_back(std::move(check));
  }
  return checks;
}

void HealthMonitor::Start() {
  thread_ = std::thread([this] { Run(); });
}

void HealthMonitor::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

bool HealthMonitor::IsStopping() const {
  absl::MutexLock lock(&mu_);
  return stopping_;
}

std::optional<NodeHealth> HealthMonitor::TakeIfChanged() {
  absl::MutexLock lock(&mu_);
  if (!changed_) return std::nullopt;
  changed_ = false;
  return health_;
}

void HealthMonitor::Run() {
  absl::Time next_probe = absl::Now();
  while (!IsStopping()) {
    std::map<std::string, std::string> broken;
    for (const DeviceSource& source : sources_) broken.merge(source());
    std::optional<CheckResult> probe;
    if (!probe_.argv.empty() && absl::Now() >= next_probe) {
      probe = RunProbe();
      next_probe = absl::Now() + probe_.interval;
    }
    {
      absl::MutexLock lock(&mu_);
      std::vector<CheckResult> checks = UpdateChecks(health_.checks, broken, probe, absl::Now());
      changed_ |= !SaysTheSame(checks, health_.checks);
      health_ = {std::move(checks), std::move(broken)};
      mu_.AwaitWithTimeout(absl::Condition(&stopping_), interval_);
    }
  }
}

CheckResult HealthMonitor::RunProbe() {
  CheckResult result{"probe", true, "", absl::Now()};
  std::error_code error;
  std::filesystem::remove(probe_.output_file, error);
  ChildOptions child;
  child.argv = probe_.argv;
  child.env = CurrentEnvironment();
  child.output_file = probe_.output_file;
  const absl::StatusOr<pid_t> pid = SpawnChild(child);
  if (!pid.ok()) {
    result.healthy = false;
    result.message = std::string(pid.status().message());
    return result;
  }
  const absl::Time deadline = absl::Now() + probe_.timeout;
  bool timed_out = false;
  int status = 0;
  while (waitpid(*pid, &status, WNOHANG) == 0) {
    if (!timed_out && (absl::Now() > deadline || IsStopping())) {
      timed_out = true;
      kill(-*pid, SIGKILL);  // it leads its own process group
    }
    absl::SleepFor(kPoll);
  }
  result.healthy = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  const std::string said = LastLine(ReadFile(probe_.output_file, 1 << 20).value_or(""));
  if (!result.healthy) {
    result.message = absl::StrCat(
        "the health probe ",
        timed_out ? absl::StrCat("did not end within ", absl::FormatDuration(probe_.timeout))
                  : DescribeEnd(status),
        said.empty() ? "" : ": ", said);
  }
  return result;
}

}  // namespace oneai::fabric
