// File: compute_fabric/shim/supervisor.cc
#include "compute_fabric/shim/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/files/files.h"
#include "base/status.h"
#include "compute_fabric/jobs/placed_attempt.h"
#include "compute_fabric/shim/disk_watch.h"
#include "compute_fabric/shim/output_file.h"
#include "compute_fabric/shim/process_table.h"
#include "compute_fabric/shim/sandbox_init.h"
#include "compute_fabric/shim/task_files.h"
#include "compute_fabric/shim/task_process.h"

namespace oneai::fabric {
namespace {

constexpr int kTickMs = 200;
// An agent that was silent for so long may be dead; its lease file is touched twice a second.
constexpr absl::Duration kAgentMissing = absl::Seconds(5);
constexpr absl::Duration kSuccessorLook = absl::Seconds(1);
constexpr absl::Duration kKillPatience = absl::Seconds(10);
constexpr int kSignalBase = 128;  // bwrap exits with 128 + signal
// A mount that comes or goes at the wrong moment makes bwrap fail; the next moment is another one.
constexpr int kSandboxTriesMax = 5;
constexpr absl::Duration kSandboxRetryGap = absl::Milliseconds(200);

// Time since boot, suspend included: a machine that slept has been silent for as long.
absl::Duration SinceBoot() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return absl::DurationFromTimespec(now);
}

int64_t NowUnixMs() { return absl::ToUnixMillis(absl::Now()); }

// As a shell has it: 127 no such program, 126 it cannot be executed.
void TakeStartFailure(const absl::Status& failure, ExitRecord& record) {
  record.exit_code = absl::IsNotFound(failure) ? 127 : 126;
  record.message = std::string(failure.message());
}

// Watches the agent's lease file. Only changes of its modification time count, never its value:
// wall clocks jump.
class LeaseWatch {
 public:
  explicit LeaseWatch(const LaunchSpec& spec)
      : file_(spec.lease_file), fence_(absl::Milliseconds(spec.fence_ms)), changed_(SinceBoot()) {}

  bool Expired() {
    if (file_.empty()) return false;
    struct stat info {};
    if (stat(file_.c_str(), &info) == 0) {
      const absl::Time time = absl::TimeFromTimespec(info.st_mtim);
      if (time != last_) {
        last_ = time;
        changed_ = SinceBoot();
      }
    }
    return Silence() > fence_;
  }
  // How long the agent has given no sign of life, as of the last Expired().
  absl::Duration Silence() const { return SinceBoot() - changed_; }

 private:
  const std::string file_;
  const absl::Duration fence_;
  absl::Time last_ = absl::InfinitePast();
  absl::Duration changed_;
};

// A dead agent cannot read that its task's attempt has been given up (jobs/placed_attempt.h), so
// the shim looks there itself. In a thread of its own, because shared storage may hang and the
// fence must not; the thread is left behind at the process's end.
class SuccessorWatch {
 public:
  explicit SuccessorWatch(const LaunchSpec& spec) {
    const auto of = [&](const char* name) {
      const auto it = spec.env.find(name);
      return it == spec.env.end() ? std::string() : it->second;
    };
    artifact_dir_ = of("ONEAI_ARTIFACT_DIR");
    known_ = !artifact_dir_.empty() && absl::SimpleAtoi(of("RANK"), &rank_) &&
             absl::SimpleAtoi(of("ONEAI_ATTEMPT"), &attempt_);
  }

  // Never waits; begins to look at the first call.
  bool Announced() {
    if (!known_) return false;
    if (newest_ == nullptr) {
      newest_ = std::make_shared<std::atomic<int>>(0);
      std::thread([newest = newest_, dir = artifact_dir_, rank = rank_] {
        while (true) {
          // What cannot be read tells nothing.
          if (const absl::StatusOr<int> placed = ReadPlacedAttempt(dir, rank); placed.ok())
            *newest = *placed;
          absl::SleepFor(kSuccessorLook);
        }
      }).detach();
    }
    return *newest_ > attempt_;
  }

 private:
  std::string artifact_dir_;
  int rank_ = 0;
  int attempt_ = 0;
  bool known_ = false;
  std::shared_ptr<std::atomic<int>> newest_;
};

// Whether `key` counts above 0 in one of `files` of the task's cgroups.
bool HasHappened(const std::vector<std::string>& cgroups, std::initializer_list<const char*> files,
                 absl::string_view wanted) {
  for (const std::string& cgroup : cgroups) {
    for (const char* file : files) {
      std::ifstream in(cgroup + file);
      std::string key;
      int64_t count = 0;
      while (in >> key >> count) {
        if (key == wanted && count > 0) return true;
      }
    }
  }
  return false;
}

// Out-of-memory kills are counted in different files by v2 and v1.
bool WasKilledForMemory(const std::vector<std::string>& cgroups) {
  return HasHappened(cgroups, {"/memory.events", "/memory.oom_control"}, "oom_kill");
}
bool WasRefusedProcesses(const std::vector<std::string>& cgroups) {
  return HasHappened(cgroups, {"/pids.events"}, "max");
}

class Supervision {
 public:
  Supervision(std::filesystem::path task_dir, LaunchSpec spec, TaskProcess process,
              int64_t started_unix_ms)
      : task_dir_(std::move(task_dir)),
        spec_(std::move(spec)),
        process_(process),
        started_unix_ms_(started_unix_ms),
        output_(task_dir_ / kOutputFile, spec_.output_bytes_max),
        lease_(spec_),
        successor_(spec_),
        disk_(task_dir_.string(), spec_.disk_bytes_max) {}

  // Until the task's process and everything it started are gone.
  ExitRecord Run(int signal_fd) {
    while (!status_.has_value()) {
      WaitForEvent(signal_fd, kTickMs);
      if (!stop_deadline_.has_value() && lease_.Expired()) {
        BeginStop(absl::StrCat("stopped by its shim: the node agent gave no sign of life for ",
                               spec_.fence_ms, " ms"));
      }
      if (!stop_deadline_.has_value() && lease_.Silence() > kAgentMissing &&
          successor_.Announced()) {
        BeginStop(
            "stopped by its shim: the node agent gave no sign of life, and a newer attempt is "
            "placed");
      }
      if (const auto full = disk_.Check(SinceBoot())) {
        // At once: a grace would be time to write on.
        BeginStop(*full);
        stop_deadline_ = -absl::InfiniteDuration();
      }
      PassOnWarning();
      if (stop_deadline_.has_value() && SinceBoot() > *stop_deadline_) KillAll();
    }
    const absl::Duration give_up = SinceBoot() + kKillPatience;
    // A process in uninterruptible sleep cannot be waited for without end.
    while (Reap() && SinceBoot() < give_up) {
      KillAll();
      WaitForEvent(signal_fd, 20);
    }
    Drain();
    output_.Sync();
    if (process_.control_fd >= 0) report_ = ReadSandboxReport(process_.control_fd);
    return MakeRecord();
  }

  // After Run: nothing of the task has run, because its sandbox could not be closed.
  bool SandboxFailed() const {
    return process_.control_fd >= 0 && !report_.has_value() && WIFEXITED(*status_) &&
           WEXITSTATUS(*status_) < kSignalBase;
  }
  bool WasStopped() const { return stop_deadline_.has_value(); }

 private:
  void WaitForEvent(int signal_fd, int timeout_ms) {
    pollfd fds[] = {{signal_fd, POLLIN, 0}, {output_open_ ? process_.output_fd : -1, POLLIN, 0}};
    if (poll(fds, 2, timeout_ms) <= 0) return;
    if (fds[1].revents != 0) Drain();
    signalfd_siginfo info{};
    while (read(signal_fd, &info, sizeof(info)) == sizeof(info)) {
      if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) BeginStop("");
    }
    Reap();
  }

  void BeginStop(std::string reason) {
    if (stop_deadline_.has_value()) return;
    reason_ = std::move(reason);
    stop_deadline_ = SinceBoot() + absl::Milliseconds(spec_.grace_ms);
    SignalTask(process_, SIGTERM);
  }

  // The agent asks for it by a file, so that neither a restart of the agent nor a lost signal makes
  // it none or two.
  void PassOnWarning() {
    if (warned_ || stop_deadline_.has_value()) return;
    const absl::StatusOr<int> signal_number = ReadWarning(task_dir_);
    if (!signal_number.ok()) return;
    warned_ = true;
    SignalTask(process_, *signal_number);
  }

  void KillAll() {
    kill(-process_.pid, SIGKILL);
    for (pid_t pid : DescendantsOf(getpid(), ReadAllProcesses())) kill(pid, SIGKILL);
    KillCgroups(spec_.cgroups);
  }

  // Collects ended children, orphans included (this process is their subreaper). False: none is
  // left.
  bool Reap() {
    while (true) {
      int status = 0;
      const pid_t pid = waitpid(-1, &status, WNOHANG);
      if (pid == process_.pid) status_ = status;
      if (pid == 0) return true;
      if (pid < 0) return errno == EINTR;
    }
  }

  // Bounded, so that a task that writes without end cannot keep the loop from its other duties.
  void Drain() {
    char buffer[64 << 10];
    for (int i = 0; i < 64 && output_open_; ++i) {
      const ssize_t n = read(process_.output_fd, buffer, sizeof(buffer));
      if (n > 0) {
        output_.Append(absl::string_view(buffer, n));
      } else if (n == 0) {
        output_open_ = false;
      } else if (errno != EINTR) {
        return;
      }
    }
  }

  ExitRecord MakeRecord() const {
    ExitRecord record;
    record.started_unix_ms = started_unix_ms_;
    record.ended_unix_ms = NowUnixMs();
    record.output_bytes_dropped = output_.bytes_dropped();
    record.message = reason_;
    TakeStatus(record);
    // The kernel may have chosen a child of the task, whose failure then made the task exit with an
    // error.
    if ((record.signal == SIGKILL || record.exit_code != 0) && WasKilledForMemory(spec_.cgroups)) {
      record.message = absl::StrCat("out of memory: the task reached its limit of ",
                                    spec_.memory_bytes_max, " bytes; raise resources.memory");
    } else if (record.exit_code != 0 && record.message.empty() &&
               WasRefusedProcesses(spec_.cgroups)) {
      record.message = absl::StrCat("the task reached its limit of ", spec_.processes_max,
                                    " processes and threads; raise processes_max");
    }
    return record;
  }

  // How the task ended: as the sandbox says, else as its process did.
  void TakeStatus(ExitRecord& record) const {
    int status = *status_;
    if (process_.control_fd >= 0) {
      if (report_.has_value() && report_->kind == SandboxReport::kNotStarted) {
        return TakeStartFailure(
            ErrnoStatus(report_->value, absl::StrCat("starting '", spec_.argv[0], "'")), record);
      }
      if (SandboxFailed()) {
        return TakeStartFailure(
            absl::UnavailableError("the sandbox could not be set up; the task's output says why"),
            record);
      }
      if (report_.has_value()) {
        status = report_->value;
      } else if (WIFEXITED(status) && WEXITSTATUS(status) > kSignalBase) {
        record.signal = WEXITSTATUS(status) - kSignalBase;  // process 1 itself was killed
        return;
      }
    }
    if (WIFSIGNALED(status)) record.signal = WTERMSIG(status);
    if (WIFEXITED(status)) record.exit_code = WEXITSTATUS(status);
  }

  const std::filesystem::path task_dir_;
  const LaunchSpec spec_;
  const TaskProcess process_;
  const int64_t started_unix_ms_;
  OutputFile output_;
  LeaseWatch lease_;
  SuccessorWatch successor_;
  DiskWatch disk_;
  bool warned_ = false;
  bool output_open_ = true;
  std::optional<int> status_;
  std::optional<SandboxReport> report_;
  std::optional<absl::Duration> stop_deadline_;
  std::string reason_;
};

// A full disk must not lose an exit status: tried until it is written or the folder has gone.
absl::Status WriteExitRecordStubbornly(const std::filesystem::path& task_dir,
                                       const ExitRecord& record) {
  // The task may have put something else in its place, a folder even.
  std::error_code error;
  std::filesystem::remove_all(task_dir / kExitFile, error);
  while (true) {
    const absl::Status status = WriteExitRecord(task_dir, record);
    if (status.ok() || !std::filesystem::exists(task_dir)) return status;
    absl::SleepFor(absl::Seconds(1));
  }
}

absl::StatusOr<int> BlockSignals() {
  sigset_t handled;
  sigemptyset(&handled);
  for (int signal_number : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&handled, signal_number);
  sigprocmask(SIG_BLOCK, &handled, nullptr);
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  const int fd = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return ErrnoStatus(errno, "signalfd");
  return fd;
}

ExitRecord RunTask(const std::filesystem::path& task_dir, const LaunchSpec& spec, int signal_fd) {
  const int64_t started_unix_ms = NowUnixMs();
  const std::optional<ProcessStat> self = ReadProcessStat(getpid());
  for (int attempt = 1;; ++attempt) {
    const absl::StatusOr<TaskProcess> process = StartTaskProcess(task_dir, spec, [&](pid_t group) {
      // Before the task runs, so that its sandbox can shield the file. Without it a later agent
      // still finds the lock held; it only cannot signal. A full disk is no reason to stop.
      WriteShimRecord(task_dir,
                      {getpid(), self.has_value() ? self->start_time : 0, group, started_unix_ms})
          .IgnoreError();
    });
    if (!process.ok()) {
      ExitRecord record;
      TakeStartFailure(process.status(), record);
      record.started_unix_ms = record.ended_unix_ms = started_unix_ms;
      return record;
    }
    Supervision supervision(task_dir, spec, *process, started_unix_ms);
    const ExitRecord record = supervision.Run(signal_fd);
    close(process->output_fd);
    if (process->control_fd >= 0) close(process->control_fd);
    if (!supervision.SandboxFailed() || supervision.WasStopped() || attempt == kSandboxTriesMax) {
      return record;
    }
    absl::SleepFor(kSandboxRetryGap);
  }
}

}  // namespace

absl::Status SuperviseTask(const std::filesystem::path& task_dir) {
  ASSIGN_OR_RETURN(const int signal_fd, BlockSignals());
  // Held until this process ends; the agent takes it only from a dead shim.
  ASSIGN_OR_RETURN([[maybe_unused]] const int lock_fd, LockTask(task_dir));
  if (std::filesystem::exists(task_dir / kExitFile)) {
    return absl::FailedPreconditionError(
        absl::StrCat(task_dir.string(), " has already ended; an attempt never runs twice"));
  }
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return ErrnoStatus(errno, "PR_SET_CHILD_SUBREAPER");
  ASSIGN_OR_RETURN(LaunchSpec spec, ReadLaunchSpec(task_dir));
  for (const std::string& name : spec.inherited_env) {
    if (const char* value = std::getenv(name.c_str())) spec.env[name] = value;
  }

  const ExitRecord record = RunTask(task_dir, spec, signal_fd);
  for (const std::string& cgroup : spec.cgroups) rmdir(cgroup.c_str());
  return WriteExitRecordStubbornly(task_dir, record);
}

}  // namespace oneai::fabric
