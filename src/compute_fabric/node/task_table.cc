// File: compute_fabric/node/task_table.cc
#include "compute_fabric/node/task_table.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/files/files.h"
#include "base/log/log.h"
#include "base/process/child_process.h"
#include "base/status.h"
#include "compute_fabric/jobs/placed_attempt.h"
#include "compute_fabric/shim/process_table.h"

namespace oneai::fabric {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kForgottenFor = absl::Hours(24);
constexpr absl::Duration kShimPatience =
    absl::Seconds(15);  // beyond the grace: its own kill loop takes up to 10 s

// Raw calls: glibc 2.36 has the wrappers, musl and older ones have not.
int PidFdOpen(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }
bool PidFdSignal(int fd, int signal_number) {
  return syscall(SYS_pidfd_send_signal, fd, signal_number, nullptr, 0) == 0;
}

// Kills what a dead shim left behind. Its session id cannot be reused while a member lives, so a
// process of that pid with another start time means that none is left.
void KillLeftovers(const fs::path& dir) {
  if (const absl::StatusOr<LaunchSpec> spec = ReadLaunchSpec(dir); spec.ok()) {
    KillCgroups(spec->cgroups);
  }
  const absl::StatusOr<ShimRecord> shim = ReadShimRecord(dir);
  if (!shim.ok()) return;
  const std::optional<ProcessStat> now = ReadProcessStat(shim->pid);
  if (now.has_value() && now->start_time != shim->start_time) return;
  KillSession(shim->pid);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TaskTable>> TaskTable::Open(TaskTableOptions options,
                                                           const CgroupTree* cgroups) {
  auto table = absl::WrapUnique(new TaskTable(std::move(options), cgroups));
  RETURN_IF_ERROR(table->AdoptAll(absl::Now()));
  return table;
}

TaskTable::~TaskTable() {
  for (const auto& [key, entry] : entries_) {
    if (entry.pid_fd >= 0) close(entry.pid_fd);
  }
}

fs::path TaskTable::FolderOf(const TaskKey& key) const {
  return options_.state_dir / "tasks" / key.FolderName();
}

absl::Status TaskTable::AdoptAll(absl::Time now) {
  std::error_code error;
  for (const char* name : {"tasks", "forgotten"}) {
    fs::create_directories(options_.state_dir / name, error);
    if (error) return ErrnoStatus(error.value(), (options_.state_dir / name).string());
  }
  RETURN_IF_ERROR(SyncDirectory(options_.state_dir));
  for (const auto& file : fs::directory_iterator(options_.state_dir / "forgotten", error)) {
    if (const auto key = TaskKey::FromFolderName(file.path().filename().string())) {
      struct stat info {};
      if (stat(file.path().c_str(), &info) == 0) forgotten_[*key] = absl::FromTimeT(info.st_mtime);
    }
  }
  PruneForgotten(now);
  std::vector<TaskKey> found;
  for (const auto& folder : fs::directory_iterator(options_.state_dir / "tasks", error)) {
    if (const auto key = TaskKey::FromFolderName(folder.path().filename().string())) {
      found.push_back(*key);
    }
  }
  for (const TaskKey& key : found) Adopt(key);
  return absl::OkStatus();
}

void TaskTable::Adopt(const TaskKey& key) {
  const fs::path dir = FolderOf(key);
  std::error_code error;
  // Not started, or its deletion was interrupted.
  if (!fs::exists(dir / kStartedFile, error) || forgotten_.contains(key)) {
    fs::remove_all(dir, error);
    return;
  }
  Entry& entry = entries_[key];
  if (const absl::StatusOr<LaunchSpec> spec = ReadLaunchSpec(dir); spec.ok()) {
    entry.grace_ms = spec->grace_ms;
  }
  LearnShim(key, entry);
  if (ShimHasEnded(key, entry)) Conclude(key, entry);
  Log::Info("task adopted", {{"task", key.FolderName()},
                             {"running", entry.phase == TaskPhase::kRunning},
                             {"shim_pid", static_cast<int>(entry.shim_pid)}});
}

void TaskTable::LearnShim(const TaskKey& key, Entry& entry) {
  const absl::StatusOr<ShimRecord> shim = ReadShimRecord(FolderOf(key));
  if (!shim.ok()) return;
  entry.exit.started_unix_ms = shim->started_unix_ms;
  entry.shim_pid = shim->pid;
  if (entry.pid_fd >= 0) return;
  const int fd = PidFdOpen(shim->pid);
  if (fd < 0) return;
  // Asked after the descriptor was taken: if the start time fits now, the descriptor is of that
  // very process.
  const std::optional<ProcessStat> stat = ReadProcessStat(shim->pid);
  if (stat.has_value() && stat->start_time == shim->start_time) {
    entry.pid_fd = fd;
  } else {
    close(fd);
  }
}

bool TaskTable::ShimHasEnded(const TaskKey& key, const Entry& entry) const {
  if (entry.pid_fd >= 0) {
    pollfd fd = {entry.pid_fd, POLLIN, 0};
    return poll(&fd, 1, 0) == 1;
  }
  const absl::StatusOr<int> lock = LockTask(FolderOf(key));
  if (lock.ok()) close(*lock);
  return !absl::IsFailedPrecondition(lock.status());
}

void TaskTable::Conclude(const TaskKey& key, Entry& entry) {
  const fs::path dir = FolderOf(key);
  if (entry.is_child) waitpid(entry.shim_pid, nullptr, WNOHANG);
  if (entry.pid_fd >= 0) close(entry.pid_fd);
  entry.pid_fd = -1;
  // The lock shuts out a shim that was started but has not come to life yet.
  const absl::StatusOr<int> lock = LockTask(dir);
  const absl::Cleanup unlock = [&lock] {
    if (lock.ok()) close(*lock);
  };
  if (absl::IsFailedPrecondition(lock.status())) return;
  absl::StatusOr<ExitRecord> record = ReadExitRecord(dir);
  if (!record.ok()) {
    KillLeftovers(dir);
    ExitRecord lost;
    lost.signal = SIGKILL;
    lost.message = "the task's shim died without an exit status; its processes were killed";
    lost.started_unix_ms = entry.exit.started_unix_ms;
    lost.ended_unix_ms = absl::ToUnixMillis(absl::Now());
    if (const absl::Status status = WriteExitRecord(dir, lost); !status.ok()) {
      Log::Warning("cannot write exit record", {{"task", key.FolderName()}, {"error", status}});
    }
    record = lost;
  }
  entry.exit = *record;
  entry.phase = TaskPhase::kExited;
  entry.ready = false;
  Log::Info("task exited", {{"task", key.FolderName()},
                            {"exit_code", entry.exit.exit_code},
                            {"signal", entry.exit.signal},
                            {"reason", entry.exit.message}});
}

absl::StatusOr<LaunchSpec> TaskTable::WriteFolder(const TaskOrder& order) {
  if (order.command.empty() || order.command[0].empty()) {
    return absl::InvalidArgumentError("the task has no command");
  }
  const fs::path dir = FolderOf(order.key);
  std::error_code error;
  fs::create_directories(dir / "tls", error);
  if (error) return ErrnoStatus(error.value(), dir.string());
  fs::permissions(dir / "tls", fs::perms::owner_all, error);
  if (!order.config_json.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(dir / "config.json", order.config_json, 0600));
  }
  RETURN_IF_ERROR(WriteFileAtomically(dir / "tls" / "ca.crt", order.ca_pem, 0600));
  RETURN_IF_ERROR(WriteFileAtomically(dir / "tls" / "task.crt", order.certificate_pem, 0600));
  RETURN_IF_ERROR(WriteFileAtomically(dir / "tls" / "task.key", order.private_key_pem, 0600));

  LaunchSpec spec;
  spec.argv = ResolveProgram(order.command, options_.bin_dir);
  spec.env = TaskEnvironment(order, options_.node, dir.string());
  if (order.grace_ms > 0) spec.grace_ms = order.grace_ms;
  spec.lease_file = options_.lease_file;
  spec.fence_ms = absl::ToInt64Milliseconds(options_.fence);
  spec.memory_bytes_max = order.memory_bytes;
  std::vector<std::string> problems;
  spec.cgroups =
      cgroups_->Create(order.key.FolderName(), {order.memory_bytes, order.cpu_milli}, problems);
  if (!problems.empty()) {
    Log::Warning("limits not set",
                 {{"task", order.key.FolderName()}, {"problems", absl::StrJoin(problems, "; ")}});
  }
  RETURN_IF_ERROR(WriteLaunchSpec(dir, spec));
  return spec;
}

absl::Status TaskTable::Launch(const TaskOrder& order, Entry& entry) {
  const fs::path dir = FolderOf(order.key);
  ASSIGN_OR_RETURN(const LaunchSpec spec, WriteFolder(order));
  entry.grace_ms = spec.grace_ms;
  // From here on this attempt counts as started, whatever happens.
  RETURN_IF_ERROR(WriteFileAtomically(dir / kStartedFile, ""));
  RETURN_IF_ERROR(SyncDirectory(dir.parent_path()));
  ChildOptions child;
  child.argv = {options_.shim_program, "--task-dir", dir.string()};
  child.env = options_.node.base_env;
  child.working_dir = dir.string();
  child.output_file = (dir / "shim.log").string();
  child.new_session = true;
  ASSIGN_OR_RETURN(entry.shim_pid, SpawnChild(child));
  entry.is_child = true;
  entry.pid_fd = PidFdOpen(entry.shim_pid);
  return absl::OkStatus();
}

void TaskTable::Start(const TaskOrder& order, absl::Time now) {
  const TaskKey& key = order.key;
  if (entries_.contains(key) || forgotten_.contains(key)) return;
  Entry& entry = entries_[key];
  entry.exit.started_unix_ms = absl::ToUnixMillis(now);
  const absl::Status status = key.IsValid()
                                  ? Launch(order, entry)
                                  : absl::InvalidArgumentError("the task's name is not valid");
  Log::Info("task started", {{"task", key.FolderName()},
                             {"shim_pid", static_cast<int>(entry.shim_pid)},
                             {"status", status}});
  if (status.ok()) return;
  entry.phase = TaskPhase::kExited;
  entry.exit.exit_code = 126;
  entry.exit.message = absl::StrCat("node ", options_.node.name,
                                    " could not start the task: ", std::string(status.message()));
  entry.exit.ended_unix_ms = absl::ToUnixMillis(now);
  // Without the folder the record lives in memory only; a restarted agent would then try the task
  // afresh.
  if (key.IsValid()) WriteExitRecord(FolderOf(key), entry.exit).IgnoreError();
}

void TaskTable::Stop(const TaskKey& key, absl::Time now) {
  const auto it = entries_.find(key);
  if (it == entries_.end() || it->second.phase != TaskPhase::kRunning) return;
  Entry& entry = it->second;
  entry.phase = TaskPhase::kStopping;
  entry.term_sent = entry.pid_fd >= 0 && PidFdSignal(entry.pid_fd, SIGTERM);
  entry.kill_shim_at = now + absl::Milliseconds(entry.grace_ms) + kShimPatience;
  Log::Info("task stopping", {{"task", key.FolderName()}});
}

void TaskTable::Forget(const TaskKey& key, absl::Time now) {
  const auto it = entries_.find(key);
  if (it == entries_.end() || it->second.phase != TaskPhase::kExited) return;
  if (key.IsValid()) {
    const absl::Status status =
        WriteFileAtomically(options_.state_dir / "forgotten" / key.FolderName(), "");
    if (!status.ok()) return;  // Tried again at the next answer.
    // The shim removes its cgroups itself; these are of one that could not.
    if (const absl::StatusOr<LaunchSpec> spec = ReadLaunchSpec(FolderOf(key)); spec.ok()) {
      for (const std::string& cgroup : spec->cgroups) rmdir(cgroup.c_str());
    }
    std::error_code error;
    fs::remove_all(FolderOf(key), error);
  }
  entries_.erase(it);
  forgotten_[key] = now;
  PruneForgotten(now);
}

void TaskTable::PruneForgotten(absl::Time now) {
  std::erase_if(forgotten_, [&](const auto& item) {
    if (now - item.second < kForgottenFor) return false;
    std::error_code error;
    fs::remove(options_.state_dir / "forgotten" / item.first.FolderName(), error);
    return true;
  });
}

bool TaskTable::PollLive(const TaskKey& key, Entry& entry, absl::Time now) {
  if (entry.pid_fd < 0 || entry.shim_pid == 0) LearnShim(key, entry);
  if (ShimHasEnded(key, entry)) {
    LearnShim(key, entry);
    Conclude(key, entry);
    return entry.phase == TaskPhase::kExited;
  }
  if (entry.phase == TaskPhase::kStopping) {
    if (!entry.term_sent) {
      entry.term_sent = entry.pid_fd >= 0 && PidFdSignal(entry.pid_fd, SIGTERM);
    }
    if (now > entry.kill_shim_at && entry.pid_fd >= 0) PidFdSignal(entry.pid_fd, SIGKILL);
  }
  std::error_code error;
  if (entry.ready || !fs::exists(FolderOf(key) / kReadyFile, error)) return false;
  entry.ready = true;
  return true;
}

bool TaskTable::Poll(absl::Time now) {
  bool changed = false;
  for (auto& [key, entry] : entries_) {
    if (entry.phase == TaskPhase::kExited) continue;
    changed |= PollLive(key, entry, now);
  }
  return changed;
}

std::vector<KnownTask> TaskTable::Known() const {
  std::vector<KnownTask> known;
  for (const auto& [key, entry] : entries_) known.push_back({key, entry.phase});
  for (const auto& [key, time] : forgotten_) known.push_back({key, TaskPhase::kForgotten});
  return known;
}

std::vector<TaskStatus> TaskTable::Statuses() const {
  std::vector<TaskStatus> statuses;
  for (const auto& [key, entry] : entries_) {
    statuses.push_back({key, entry.phase, entry.ready, entry.exit});
  }
  return statuses;
}

bool TaskTable::HasLive() const {
  for (const auto& [key, entry] : entries_) {
    if (entry.phase != TaskPhase::kExited) return true;
  }
  return false;
}

std::vector<TaskKey> TaskTable::Superseded() const {
  std::vector<TaskKey> superseded;
  for (const auto& [key, entry] : entries_) {
    if (entry.phase != TaskPhase::kRunning) continue;
    const absl::StatusOr<LaunchSpec> spec = ReadLaunchSpec(FolderOf(key));
    if (!spec.ok()) continue;
    const auto artifact_dir = spec->env.find("ONEAI_ARTIFACT_DIR");
    if (artifact_dir == spec->env.end() || artifact_dir->second.empty()) continue;
    // What cannot be read tells nothing.
    const absl::StatusOr<int> newest = ReadPlacedAttempt(artifact_dir->second, key.rank);
    if (newest.ok() && *newest > key.attempt) superseded.push_back(key);
  }
  return superseded;
}

}  // namespace oneai::fabric
