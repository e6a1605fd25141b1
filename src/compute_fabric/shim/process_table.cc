// File: compute_fabric/shim/process_table.cc
#include "compute_fabric/shim/process_table.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace oneai::fabric {
namespace {

std::optional<std::string> ReadSmallFile(const std::string& path) {
  std::ifstream in(path);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace

std::optional<ProcessStat> ParseProcessStat(absl::string_view text) {
  ProcessStat stat;
  const size_t name_end = text.rfind(')');
  const size_t name_begin = text.find(" (");
  if (name_end == absl::string_view::npos || name_begin == absl::string_view::npos) {
    return std::nullopt;
  }
  if (!absl::SimpleAtoi(text.substr(0, name_begin), &stat.pid)) return std::nullopt;
  // fields[0] is field 3 of proc(5), the state.
  const std::vector<absl::string_view> fields =
      absl::StrSplit(text.substr(name_end + 1), absl::ByAnyChar(" \n"), absl::SkipEmpty());
  if (fields.size() < 20) return std::nullopt;
  stat.state = fields[0][0];
  if (!absl::SimpleAtoi(fields[1], &stat.parent) || !absl::SimpleAtoi(fields[2], &stat.group) ||
      !absl::SimpleAtoi(fields[3], &stat.session) ||
      !absl::SimpleAtoi(fields[19], &stat.start_time)) {
    return std::nullopt;
  }
  return stat;
}

std::optional<ProcessStat> ReadProcessStat(pid_t pid) {
  const std::optional<std::string> text = ReadSmallFile(absl::StrCat("/proc/", pid, "/stat"));
  if (!text.has_value()) return std::nullopt;
  return ParseProcessStat(*text);
}

std::vector<ProcessStat> ReadAllProcesses() {
  std::vector<ProcessStat> processes;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    if (std::optional<ProcessStat> stat = ReadProcessStat(pid)) processes.push_back(*stat);
  }
  return processes;
}

std::vector<pid_t> DescendantsOf(pid_t ancestor, const std::vector<ProcessStat>& processes) {
  std::vector<pid_t> found;
  std::set<pid_t> seen = {ancestor};
  std::vector<pid_t> frontier = {ancestor};
  while (!frontier.empty()) {
    const pid_t parent = frontier.back();
    frontier.pop_back();
    for (const ProcessStat& process : processes) {
      if (process.parent != parent || !seen.insert(process.pid).second) continue;
      found.push_back(process.pid);
      frontier.push_back(process.pid);
    }
  }
  return found;
}

void KillCgroups(const std::vector<std::string>& cgroups) {
  for (const std::string& cgroup : cgroups) {
    // v2 kills the whole group at once (Linux 5.14), however fast it forks.
    const int fd = open((cgroup + "/cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
      const bool killed = write(fd, "1", 1) == 1;
      close(fd);
      if (killed) continue;
    }
    const std::optional<std::string> procs = ReadSmallFile(cgroup + "/cgroup.procs");
    if (!procs.has_value()) continue;
    for (absl::string_view line : absl::StrSplit(*procs, '\n', absl::SkipEmpty())) {
      pid_t pid = 0;
      if (absl::SimpleAtoi(line, &pid) && pid > 1) kill(pid, SIGKILL);
    }
  }
}

void KillSession(pid_t session) {
  if (session <= 1) return;
  for (const ProcessStat& process : ReadAllProcesses()) {
    if (process.session == session) kill(process.pid, SIGKILL);
  }
}

}  // namespace oneai::fabric
