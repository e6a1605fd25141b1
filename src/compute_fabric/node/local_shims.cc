// File: compute_fabric/node/local_shims.cc
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "base/process/child_process.h"
#include "base/status.h"
#include "compute_fabric/node/shim_launcher.h"
#include "compute_fabric/shim/process_table.h"
#include "compute_fabric/shim/task_files.h"

namespace oneai::fabric {
namespace {

// Raw calls: glibc 2.36 has the wrappers, musl and older ones have not.
int PidFdOpen(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }
bool PidFdSignal(int fd, int signal_number) {
  return syscall(SYS_pidfd_send_signal, fd, signal_number, nullptr, 0) == 0;
}

}  // namespace

LocalShims::~LocalShims() {
  for (const auto& [key, shim] : shims_) {
    if (shim.pid_fd >= 0) close(shim.pid_fd);
  }
}

absl::Status LocalShims::Start(const TaskOrder& order, const std::filesystem::path& dir) {
  Shim& shim = shims_[order.key];
  ChildOptions child;
  child.argv = {program_, "--task-dir", dir.string()};
  child.env = env_;
  child.working_dir = dir.string();
  child.output_file = (dir / "shim.log").string();
  child.new_session = true;
  ASSIGN_OR_RETURN(shim.pid, SpawnChild(child));
  shim.is_child = true;
  shim.pid_fd = PidFdOpen(shim.pid);
  return absl::OkStatus();
}

void LocalShims::Adopt(const TaskKey& key, const std::filesystem::path& dir) {
  Learn(shims_[key], dir);
}

void LocalShims::Learn(Shim& shim, const std::filesystem::path& dir) {
  const absl::StatusOr<ShimRecord> record = ReadShimRecord(dir);
  if (!record.ok()) return;
  shim.pid = record->pid;
  if (shim.pid_fd >= 0) return;
  const int fd = PidFdOpen(record->pid);
  if (fd < 0) return;
  // Asked after the descriptor was taken: if the start time fits now, the descriptor is of that
  // very process.
  const std::optional<ProcessStat> stat = ReadProcessStat(record->pid);
  if (stat.has_value() && stat->start_time == record->start_time) {
    shim.pid_fd = fd;
  } else {
    close(fd);
  }
}

bool LocalShims::HasEnded(const TaskKey& key, const std::filesystem::path& dir) {
  Shim& shim = shims_[key];
  if (shim.pid_fd < 0) Learn(shim, dir);
  if (shim.pid_fd >= 0) {
    pollfd fd = {shim.pid_fd, POLLIN, 0};
    return poll(&fd, 1, 0) == 1;
  }
  const absl::StatusOr<int> lock = LockTask(dir);
  if (lock.ok()) close(*lock);
  return !absl::IsFailedPrecondition(lock.status());
}

void LocalShims::Terminate(const TaskKey& key, const std::filesystem::path& dir) {
  Shim& shim = shims_[key];
  if (shim.term_sent) return;
  if (shim.pid_fd < 0) Learn(shim, dir);
  shim.term_sent = shim.pid_fd >= 0 && PidFdSignal(shim.pid_fd, SIGTERM);
}

void LocalShims::Kill(const TaskKey& key) {
  const auto it = shims_.find(key);
  if (it != shims_.end() && it->second.pid_fd >= 0) PidFdSignal(it->second.pid_fd, SIGKILL);
}

// The session id of a dead shim cannot be reused while a member lives, so a process of that pid
// with another start time means that none is left.
void LocalShims::KillLeftovers(const TaskKey&, const std::filesystem::path& dir) {
  const absl::StatusOr<ShimRecord> shim = ReadShimRecord(dir);
  if (!shim.ok()) return;
  const std::optional<ProcessStat> now = ReadProcessStat(shim->pid);
  if (now.has_value() && now->start_time != shim->start_time) return;
  KillSession(shim->pid);
}

void LocalShims::Forget(const TaskKey& key) {
  const auto it = shims_.find(key);
  if (it == shims_.end()) return;
  if (it->second.is_child) waitpid(it->second.pid, nullptr, WNOHANG);
  if (it->second.pid_fd >= 0) close(it->second.pid_fd);
  shims_.erase(it);
}

}  // namespace oneai::fabric
