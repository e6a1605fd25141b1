#include "compute_fabric/node/isolation.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/files/files.h"
#include "base/process/child_process.h"
#include "base/status.h"

namespace oneai::fabric {
namespace {

namespace fs = std::filesystem;

constexpr char kSharedMemory[] = "/dev/shm";
constexpr int kProbeTriesMax = 5;
constexpr absl::Duration kProbePatience = absl::Seconds(10);

std::string FindProgram(const std::string& name, absl::string_view path) {
  for (absl::string_view folder : absl::StrSplit(path, ':', absl::SkipEmpty())) {
    const std::string candidate = absl::StrCat(folder, "/", name);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "";
}

// Links resolved, since mounts go to what is there; folders end in '/', what is absent is left out.
std::vector<std::string> ExistingPaths(const std::vector<std::string>& paths) {
  std::vector<std::string> existing;
  for (const std::string& path : paths) {
    std::error_code error;
    fs::path resolved = fs::canonical(path, error);
    if (error) continue;
    if (fs::is_directory(resolved, error)) resolved /= "";
    existing.push_back(resolved.string());
  }
  return existing;
}

// Runs `argv` with its output in `output_file`. OK: it exited with 0.
absl::Status RunBriefly(const std::vector<std::string>& argv, const std::string& output_file) {
  ChildOptions child;
  child.argv = argv;
  child.env = {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}};
  child.output_file = output_file;
  ASSIGN_OR_RETURN(const pid_t pid, SpawnChild(child));
  const absl::Time deadline = absl::Now() + kProbePatience;
  int status = 0;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (absl::Now() > deadline) kill(pid, SIGKILL);
    absl::SleepFor(absl::Milliseconds(2));
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  const std::string said = ReadFile(output_file, 4096).value_or("");
  return absl::UnavailableError(absl::StrJoin(
      absl::StrSplit(absl::StripAsciiWhitespace(said), '\n', absl::SkipEmpty()), "; "));
}

}  // namespace

absl::StatusOr<IsolationMode> ParseIsolationMode(absl::string_view name) {
  if (name == "off") return IsolationMode::kOff;
  if (name == "auto") return IsolationMode::kAuto;
  if (name == "required") return IsolationMode::kRequired;
  return absl::InvalidArgumentError(
      absl::StrCat("--isolation ", name, ": must be off, auto or required"));
}

absl::StatusOr<Isolation> Isolation::Detect(IsolationOptions options) {
  CgroupTree cgroups = CgroupTree::Detect(options.node_name);
  Isolation isolation(std::move(options), std::move(cgroups));
  isolation.enforced_ = {"process-group",     "open-files",  "no-core-dump",
                         "no-new-privileges", "output-size", "task-folder-size"};
  for (const std::string& limit : isolation.cgroups_.enforced()) {
    isolation.enforced_.push_back(limit);
  }
  isolation.not_enforced_ = isolation.cgroups_.not_enforced();
  if (isolation.options_.cpu_hard && isolation.cgroups_.Enforces("cpu")) {
    isolation.enforced_.push_back("cgroup-cpu-quota");
  }
  isolation.DetectSandbox();
  isolation.DetectSeccomp();
  isolation.not_enforced_.push_back(
      "size of the artifact folder: a matter of the shared storage's own quota");
  if (isolation.options_.mode == IsolationMode::kRequired) {
    const absl::Status all = isolation.RequireAll();
    if (!all.ok()) isolation.RemoveEmptyGroups();
    RETURN_IF_ERROR(all);
  }
  return isolation;
}

void Isolation::DetectSandbox() {
  SandboxOptions& sandbox = options_.sandbox;
  const auto miss = [&](absl::string_view why) {
    sandbox.bwrap.clear();
    not_enforced_.push_back(absl::StrCat(
        "namespaces (processes, IPC, private /tmp, read-only system, capabilities): ", why));
  };
  if (options_.mode == IsolationMode::kOff) return miss("switched off by --isolation off");
  if (sandbox.bwrap.empty()) sandbox.bwrap = FindProgram("bwrap", options_.path);
  if (sandbox.bwrap.empty()) return miss("bwrap is not installed (package bubblewrap)");
  std::error_code error;
  sandbox.hidden = ExistingPaths(sandbox.hidden);
  const fs::path probe = fs::path(sandbox.state_dir) / "isolation-probe";
  fs::create_directories(probe / "tmp", error);
  SandboxedTask task;
  task.task_dir = probe.string();
  task.tmp_dir = (probe / "tmp").string();
  std::vector<std::string> argv = SandboxCommand(sandbox, task);
  argv.insert(argv.end(), {"--", "/bin/true"});
  absl::Status works;
  // A mount that comes or goes at the wrong moment makes bwrap fail.
  for (int i = 0; i < kProbeTriesMax; ++i) {
    fs::remove(probe / "output", error);
    works = RunBriefly(argv, (probe / "output").string());
    if (works.ok()) break;
    absl::SleepFor(absl::Milliseconds(100));
  }
  fs::remove_all(probe, error);
  if (!works.ok()) return miss(works.message());
  for (const char* limit : {"namespaces", "private-tmp", "read-only-system", "no-capabilities"}) {
    enforced_.push_back(limit);
  }
}

void Isolation::DetectSeccomp() {
  if (options_.mode == IsolationMode::kOff) {
    not_enforced_.push_back("system call filter: switched off by --isolation off");
    return;
  }
  const SeccompMode mode =
      options_.sandbox.bwrap.empty() ? SeccompMode::kAllProcesses : SeccompMode::kOwnProcesses;
  const absl::Status built = BuildSeccompProgram(mode).status();
  if (!KernelHasSeccomp() || !built.ok()) {
    not_enforced_.push_back(
        absl::StrCat("system call filter: ", built.ok() ? "the kernel has none" : built.message()));
    return;
  }
  seccomp_ = mode;
  enforced_.push_back("seccomp");
}

absl::Status Isolation::RequireAll() const {
  std::vector<std::string> missing;
  for (const char* controller : {"memory", "cpu", "pids"}) {
    if (!cgroups_.Enforces(controller)) missing.push_back(absl::StrCat(controller, " cgroup"));
  }
  if (options_.sandbox.bwrap.empty()) missing.push_back("namespaces");
  if (seccomp_ == SeccompMode::kOff) missing.push_back("seccomp");
  if (missing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "--isolation required, but this machine lacks ", absl::StrJoin(missing, ", "), " (",
      absl::StrJoin(not_enforced_, "; "), "); use --isolation auto to start without"));
}

std::string Isolation::SharedMemoryFolder(const TaskKey& key) const {
  if (options_.sandbox.bwrap.empty()) return "";
  return absl::StrCat(kSharedMemory, "/oneai-", options_.node_name, "-", key.job_id, ".",
                      key.attempt);
}

absl::Status Isolation::Prepare(const TaskOrder& order, const NodeFacts& node,
                                const std::string& task_dir, LaunchSpec& spec,
                                std::vector<std::string>& problems) const {
  spec.memory_bytes_max = order.memory_bytes;
  spec.disk_bytes_max = order.disk_bytes > 0 ? order.disk_bytes : options_.disk_bytes;
  spec.processes_max = order.processes_max > 0 ? order.processes_max : options_.processes_max;
  CgroupLimits limits;
  limits.memory_bytes = order.memory_bytes;
  limits.cpu_milli = order.cpu_milli;
  limits.num_processes_max = spec.processes_max;
  limits.cpu_hard = options_.cpu_hard;
  spec.cgroups = cgroups_.Create(order.key.FolderName(), limits, problems);
  spec.seccomp = std::string(SeccompModeName(seccomp_));
  if (options_.sandbox.bwrap.empty()) return absl::OkStatus();

  const auto value_of = [&](const char* name) {
    const auto it = spec.env.find(name);
    return it == spec.env.end() ? std::string() : it->second;
  };
  SandboxedTask task;
  task.task_dir = task_dir;
  task.tmp_dir = absl::StrCat(task_dir, "/tmp");
  task.artifact_dir = value_of("ONEAI_ARTIFACT_DIR");
  task.registry_dir = value_of("ONEAI_REGISTRY_DIR");
  task.cache_dir = value_of("ONEAI_CACHE_DIR");
  task.device_nodes = DeviceNodesOf(order, node);
  std::error_code error;
  fs::create_directories(task.tmp_dir, error);
  if (error) return ErrnoStatus(error.value(), task.tmp_dir);
  const std::string shared = SharedMemoryFolder(order.key);
  if (mkdir(shared.c_str(), 0700) == 0 || errno == EEXIST) {
    task.shm_dir = shared;
  } else {
    problems.push_back(
        absl::StrCat("ranks share no /dev/shm: ", ErrnoStatus(errno, shared).ToString()));
  }
  // Programs keep caches in their home, and the agent's is read only in there.
  if (!order.env.contains("HOME")) spec.env["HOME"] = task_dir;
  spec.sandbox = SandboxCommand(options_.sandbox, task);
  return absl::OkStatus();
}

}  // namespace oneai::fabric
