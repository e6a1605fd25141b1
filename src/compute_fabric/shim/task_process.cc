// File: compute_fabric/shim/task_process.cc
//
// base/process cannot serve here: the child must join cgroups and take its limits between fork and
// exec, and its output goes to a pipe. Everything that allocates is prepared before the fork.
#include "compute_fabric/shim/task_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "base/status.h"
#include "compute_fabric/shim/sandbox_init.h"
#include "compute_fabric/shim/seccomp_filter.h"

namespace oneai::fabric {
namespace {

// What the child needs, as plain pointers.
struct Prepared {
  std::vector<std::string> argv_text;
  std::vector<char*> argv;
  std::vector<std::string> env_lines;
  std::vector<char*> env;
  std::vector<std::string> cgroup_procs;
  std::string working_dir;
  rlim_t open_files = 0;
  std::vector<sock_filter> seccomp;  // a sandbox installs its own, once it is closed
  std::vector<int> inherited;        // descriptors that the program keeps
};

struct Pipes {
  int output[2] = {-1, -1};
  int failure[2] = {-1, -1};  // the child's errno; closes when it has become the program
  int gate[2] = {-1, -1};     // closes when the child may go on
  SandboxChannel sandbox;

  ~Pipes() {
    for (int fd : {output[0], output[1], failure[0], failure[1], gate[0], gate[1], sandbox.control,
                   sandbox.task_control, sandbox.environment}) {
      if (fd >= 0) close(fd);
    }
  }
  static void Close(int& fd) {
    if (fd >= 0) close(fd);
    fd = -1;
  }
  static int Take(int& fd) { return std::exchange(fd, -1); }
};

absl::Status Open(const LaunchSpec& spec, Pipes& pipes) {
  for (int* ends : {pipes.output, pipes.failure, pipes.gate}) {
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  }
  if (spec.sandbox.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(pipes.sandbox, OpenSandboxChannel(spec.env));
  return absl::OkStatus();
}

absl::StatusOr<Prepared> Prepare(const std::string& task_dir, const LaunchSpec& spec,
                                 const Pipes& pipes) {
  Prepared prepared;
  ASSIGN_OR_RETURN(const SeccompMode seccomp, ParseSeccompMode(spec.seccomp));
  if (spec.sandbox.empty()) {
    prepared.argv_text = spec.argv;
    ASSIGN_OR_RETURN(prepared.seccomp, BuildSeccompProgram(seccomp));
    for (const auto& [name, value] : spec.env) {
      prepared.env_lines.push_back(absl::StrCat(name, "=", value));
    }
  } else {
    // The task's environment (LD_PRELOAD) must not act on what is still outside.
    prepared.env_lines = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"};
    prepared.argv_text = spec.sandbox;
    prepared.argv_text.push_back("--");
    const std::vector<std::string> init =
        SandboxInitArguments(std::filesystem::read_symlink("/proc/self/exe").string(),
                             pipes.sandbox, seccomp, spec.argv);
    prepared.argv_text.insert(prepared.argv_text.end(), init.begin(), init.end());
    prepared.inherited = {pipes.sandbox.task_control, pipes.sandbox.environment};
  }
  for (std::string& arg : prepared.argv_text) prepared.argv.push_back(arg.data());
  prepared.argv.push_back(nullptr);
  for (std::string& line : prepared.env_lines) prepared.env.push_back(line.data());
  prepared.env.push_back(nullptr);
  for (const std::string& cgroup : spec.cgroups) {
    prepared.cgroup_procs.push_back(cgroup + "/cgroup.procs");
  }
  prepared.working_dir = spec.working_dir.empty() ? task_dir : spec.working_dir;
  rlimit current{};
  getrlimit(RLIMIT_NOFILE, &current);
  prepared.open_files = std::min<rlim_t>(current.rlim_max, spec.open_files_max);
  return prepared;
}

int TakeLimits(const Prepared& prepared) {
  for (const std::string& procs : prepared.cgroup_procs) {
    const int fd = open(procs.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return errno;
    if (write(fd, "0", 1) != 1) return errno;
    close(fd);
  }
  const rlimit files{prepared.open_files, prepared.open_files};
  const rlimit no_core{0, 0};
  if (setrlimit(RLIMIT_NOFILE, &files) != 0 || setrlimit(RLIMIT_CORE, &no_core) != 0) return errno;
  // RDMA and GPUs pin memory; how much is the memory cgroup's business. Needs a right that the
  // agent may not have.
  const rlimit locked{RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &locked);
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno;
}

// The child's side. Only async-signal-safe calls; returns the errno of what failed.
int BecomeTask(const Prepared& prepared, const Pipes& pipes, pid_t parent) {
  setpgid(0, 0);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
  if (getppid() != parent) _exit(127);
  close(pipes.gate[1]);
  char nothing;
  while (read(pipes.gate[0], &nothing, 1) < 0 && errno == EINTR) {
  }
  if (const int error = TakeLimits(prepared); error != 0) return error;
  const int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(pipes.output[1], 1) < 0 ||
      dup2(pipes.output[1], 2) < 0) {
    return errno;
  }
  for (int fd : prepared.inherited) {
    if (fcntl(fd, F_SETFD, 0) != 0) return errno;
  }
  if (chdir(prepared.working_dir.c_str()) != 0) return errno;
  for (int signal_number : {SIGHUP, SIGPIPE, SIGINT, SIGTERM, SIGCHLD}) {
    signal(signal_number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (const int error = InstallSeccompProgram(prepared.seccomp); error != 0) return error;
  execvpe(prepared.argv[0], prepared.argv.data(), prepared.env.data());
  return errno;
}

}  // namespace

absl::StatusOr<TaskProcess> StartTaskProcess(const std::string& task_dir, const LaunchSpec& spec,
                                             const std::function<void(pid_t)>& before_exec) {
  Pipes pipes;
  RETURN_IF_ERROR(Open(spec, pipes));
  ASSIGN_OR_RETURN(const Prepared prepared, Prepare(task_dir, spec, pipes));
  // execvpe searches this process's PATH; the task's is what counts.
  const auto path = spec.env.find("PATH");
  if (path != spec.env.end()) setenv("PATH", path->second.c_str(), 1);

  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    const int error = BecomeTask(prepared, pipes, parent);
    [[maybe_unused]] const ssize_t written = write(pipes.failure[1], &error, sizeof(error));
    _exit(127);
  }
  if (pid < 0) return ErrnoStatus(errno, absl::StrCat("starting '", spec.argv[0], "'"));
  setpgid(pid, pid);
  before_exec(pid);
  Pipes::Close(pipes.gate[1]);
  Pipes::Close(pipes.failure[1]);
  // The pipe closes by itself when execve succeeds, so a short read means that the program runs.
  int error = 0;
  while (read(pipes.failure[0], &error, sizeof(error)) < 0 && errno == EINTR) {
  }
  if (error != 0) {
    waitpid(pid, nullptr, 0);
    return ErrnoStatus(error, absl::StrCat("starting '", prepared.argv_text[0], "'"));
  }
  fcntl(pipes.output[0], F_SETFL, O_NONBLOCK);
  return TaskProcess{pid, Pipes::Take(pipes.output[0]), Pipes::Take(pipes.sandbox.control)};
}

void SignalTask(const TaskProcess& process, int signal_number) {
  if (process.control_fd >= 0) {
    SendToSandbox(process.control_fd, signal_number);
  } else {
    kill(-process.pid, signal_number);
  }
}

}  // namespace oneai::fabric
