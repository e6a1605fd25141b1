// File: compute_fabric/node/task_table.cc
#include "compute_fabric/node/task_table.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/files/files.h"
#include "base/log/log.h"
#include "base/status.h"
#include "compute_fabric/jobs/placed_attempt.h"
#include "compute_fabric/shim/process_table.h"

namespace oneai::fabric {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kForgottenFor = absl::Hours(24);
constexpr absl::Duration kShimPatience =
    absl::Seconds(15);  // beyond the grace: its own kill loop takes up to 10 s

}  // namespace

absl::StatusOr<std::unique_ptr<TaskTable>> TaskTable::Open(TaskTableOptions options,
                                                           ShimLauncher* shims,
                                                           const Isolation* isolation) {
  auto table = absl::WrapUnique(new TaskTable(std::move(options), shims, isolation));
  RETURN_IF_ERROR(table->AdoptAll(absl::Now()));
  return table;
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
  shims_->Adopt(key, dir);
  LearnStart(key, entry);
  if (shims_->HasEnded(key, dir)) Conclude(key, entry);
  Log::Info("task adopted",
            {{"task", key.FolderName()}, {"running", entry.phase == TaskPhase::kRunning}});
}

void TaskTable::LearnStart(const TaskKey& key, Entry& entry) const {
  const absl::StatusOr<ShimRecord> shim = ReadShimRecord(FolderOf(key));
  if (shim.ok()) entry.exit.started_unix_ms = shim->started_unix_ms;
}

void TaskTable::Conclude(const TaskKey& key, Entry& entry) {
  const fs::path dir = FolderOf(key);
  // The lock shuts out a shim that was started but has not come to life yet.
  const absl::StatusOr<int> lock = LockTask(dir);
  const absl::Cleanup unlock = [&lock] {
    if (lock.ok()) close(*lock);
  };
  if (absl::IsFailedPrecondition(lock.status())) return;
  absl::StatusOr<ExitRecord> record = ReadExitRecord(dir);
  if (!record.ok()) {
    if (const absl::StatusOr<LaunchSpec> spec = ReadLaunchSpec(dir); spec.ok()) {
      KillCgroups(spec->cgroups);
    }
    shims_->KillLeftovers(key, dir);
    ExitRecord lost;
    lost.signal = SIGKILL;
    lost.message = shims_->WhyEnded(key);
    if (lost.message.empty())
      lost.message = "the task's shim died without an exit status; its processes were killed";
    lost.started_unix_ms = entry.exit.started_unix_ms;
    lost.ended_unix_ms = absl::ToUnixMillis(absl::Now());
    if (const absl::Status status = WriteExitRecord(dir, lost); !status.ok()) {
      Log::Warning("cannot write exit record", {{"task", key.FolderName()}, {"error", status}});
    }
    record = lost;
  }
  shims_->Forget(key);
  entry.exit = *record;
  entry.phase = TaskPhase::kExited;
  entry.ready = false;
  if (key.IsValid()) DropSharedMemory(key);
  Log::Info("task exited", {{"task", key.FolderName()},
                            {"exit_code", entry.exit.exit_code},
                            {"signal", entry.exit.signal},
                            {"reason", entry.exit.message}});
}

std::string TaskTable::CacheFolderFor(const TaskOrder& order) const {
  const auto project = order.env.find("ONEAI_PROJECT");
  if (!UsesNodeCache(order) || project == order.env.end()) return "";
  return cache_.FolderOf(project->second).value_or("").string();
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
  spec.env = TaskEnvironment(order, options_.node, dir.string(), CacheFolderFor(order));
  if (order.grace_ms > 0) spec.grace_ms = order.grace_ms;
  spec.lease_file = options_.lease_file;
  spec.inherited_env = shims_->inherited_env();
  spec.fence_ms = absl::ToInt64Milliseconds(options_.fence);
  std::vector<std::string> problems;
  RETURN_IF_ERROR(isolation_->Prepare(order, options_.node, dir.string(), spec, problems));
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
  return shims_->Start(order, dir);
}

void TaskTable::Start(const TaskOrder& order, absl::Time now) {
  const TaskKey& key = order.key;
  if (entries_.contains(key) || forgotten_.contains(key)) return;
  Entry& entry = entries_[key];
  entry.exit.started_unix_ms = absl::ToUnixMillis(now);
  const absl::Status status = key.IsValid()
                                  ? Launch(order, entry)
                                  : absl::InvalidArgumentError("the task's name is not valid");
  Log::Info("task started", {{"task", key.FolderName()}, {"status", status}});
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
  shims_->Terminate(key, FolderOf(key));
  entry.kill_shim_at = now + absl::Milliseconds(entry.grace_ms) + kShimPatience;
  Log::Info("task stopping", {{"task", key.FolderName()}});
}

void TaskTable::Warn(const TaskKey& key, int signal_number) {
  const auto it = entries_.find(key);
  if (it == entries_.end() || it->second.phase != TaskPhase::kRunning || it->second.warned) return;
  it->second.warned = true;
  // An earlier agent may have done it.
  if (ReadWarning(FolderOf(key)).ok()) return;
  const absl::Status written = WriteWarning(FolderOf(key), signal_number);
  Log::Info("task warned",
            {{"task", key.FolderName()}, {"signal", signal_number}, {"status", written}});
}

void TaskTable::DropSharedMemory(const TaskKey& key) {
  for (const auto& [other, entry] : entries_) {
    if (other.job_id == key.job_id && other.attempt == key.attempt &&
        entry.phase != TaskPhase::kExited) {
      return;
    }
  }
  const std::string folder = isolation_->SharedMemoryFolder(key);
  std::error_code error;
  if (!folder.empty()) fs::remove_all(folder, error);
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
  const fs::path dir = FolderOf(key);
  if (shims_->HasEnded(key, dir)) {
    LearnStart(key, entry);
    Conclude(key, entry);
    return entry.phase == TaskPhase::kExited;
  }
  if (entry.phase == TaskPhase::kStopping) {
    shims_->Terminate(key, dir);
    if (now > entry.kill_shim_at) shims_->Kill(key);
  }
  std::error_code error;
  if (entry.ready || !fs::exists(dir / kReadyFile, error)) return false;
  entry.ready = true;
  return true;
}

bool TaskTable::Poll(absl::Time now) {
  cache_.Trim(now);
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
