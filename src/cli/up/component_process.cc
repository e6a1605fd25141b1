#include "cli/up/component_process.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace oneai::cli {
namespace {

constexpr size_t kState = 0, kParent = 1, kStartTicks = 19;  // after the command's name

std::string ReadProc(pid_t pid, const char* file) {
  std::ifstream in(absl::StrCat("/proc/", pid, "/", file));
  return {std::istreambuf_iterator<char>(in), {}};
}

// The fields of /proc/<pid>/stat from the state on; empty when there is no such process.
std::vector<std::string> ReadStat(pid_t pid) {
  const std::string line = ReadProc(pid, "stat");
  const size_t close = line.rfind(')');  // the command's name may hold anything
  if (close == std::string::npos) return {};
  std::vector<std::string> fields = absl::StrSplit(line.substr(close + 1), ' ', absl::SkipEmpty());
  if (fields.size() <= kStartTicks) fields.clear();
  return fields;
}

// argv[0]'s file name and the value of --state-dir (etcd: --data-dir): what makes a component this
// one.
std::pair<std::string, std::string> KeyOf(const std::vector<std::string>& argv) {
  const auto flag = std::find_if(argv.begin(), argv.end(), [](const std::string& arg) {
    return arg == "--state-dir" || arg == "--data-dir";
  });
  if (flag == argv.end() || flag + 1 == argv.end()) return {};
  return {std::filesystem::path(argv[0]).filename().string(), *(flag + 1)};
}

}  // namespace

RunningComponent IdentifyProcess(const std::string& name, pid_t pid) {
  RunningComponent component{name, pid};
  const std::vector<std::string> stat = ReadStat(pid);
  if (stat.empty() || stat[kState] == "Z" ||
      !absl::SimpleAtoi(stat[kStartTicks], &component.start_ticks)) {
    component.start_ticks = 0;
  }
  return component;
}

bool IsAlive(const RunningComponent& component) {
  return component.pid > 0 && component.start_ticks != 0 &&
         IdentifyProcess(component.name, component.pid).start_ticks == component.start_ticks;
}

RunningComponent FindProcess(const Component& component) {
  const auto key = KeyOf(component.argv);
  // Without a key every other process without one would be taken for it, and stopped with it.
  if (key.second.empty()) return {component.name};
  std::vector<pid_t> found;
  std::error_code error;
  for (std::filesystem::directory_iterator it("/proc", error), end; !error && it != end;
       it.increment(error)) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(it->path().filename().string(), &pid)) continue;
    const std::vector<std::string> argv = absl::StrSplit(ReadProc(pid, "cmdline"), '\0');
    if (KeyOf(argv) == key) found.push_back(pid);
  }
  for (pid_t pid : found) {
    // A child that it has forked and that has yet to become another program looks the same.
    const std::vector<std::string> stat = ReadStat(pid);
    pid_t parent = 0;
    if (stat.empty() || !absl::SimpleAtoi(stat[kParent], &parent)) continue;
    if (std::find(found.begin(), found.end(), parent) != found.end()) continue;
    const RunningComponent running = IdentifyProcess(component.name, pid);
    if (running.start_ticks != 0) return running;
  }
  return {component.name};
}

}  // namespace oneai::cli
