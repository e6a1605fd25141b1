// File: compute_fabric/shim/task_process.cc
//
// base/process cannot serve here: the child must join cgroups and take its limits between fork and
// exec, and its output goes to a pipe. Everything that allocates is prepared before the fork.
#include "compute_fabric/shim/task_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/files/files.h"

namespace oneai::fabric {
namespace {

// What the child needs, as plain pointers.
struct Prepared {
  std::vector<char*> argv;
  std::vector<std::string> env_lines;
  std::vector<char*> env;
  std::vector<std::string> cgroup_procs;
  std::string working_dir;
  rlim_t open_files = 0;
};

Prepared Prepare(const std::string& task_dir, const LaunchSpec& spec) {
  Prepared prepared;
  for (const std::string& arg : spec.argv) prepared.argv.push_back(const_cast<char*>(arg.c_str()));
  prepared.argv.push_back(nullptr);
  for (const auto& [name, value] : spec.env) {
    prepared.env_lines.push_back(absl::StrCat(name, "=", value));
  }
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

// The child's side. Only async-signal-safe calls; returns the errno of what failed.
int BecomeTask(const Prepared& prepared, int output_fd, pid_t parent) {
  setpgid(0, 0);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
  if (getppid() != parent) _exit(127);
  for (const std::string& procs : prepared.cgroup_procs) {
    const int fd = open(procs.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return errno;
    if (write(fd, "0", 1) != 1) return errno;
    close(fd);
  }
  const rlimit files{prepared.open_files, prepared.open_files};
  const rlimit no_core{0, 0};
  if (setrlimit(RLIMIT_NOFILE, &files) != 0 || setrlimit(RLIMIT_CORE, &no_core) != 0) return errno;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  const int null_fd = open("/dev/null", O_RDONLY);
  if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(output_fd, 1) < 0 || dup2(output_fd, 2) < 0) {
    return errno;
  }
  if (chdir(prepared.working_dir.c_str()) != 0) return errno;
  for (int signal_number : {SIGHUP, SIGPIPE, SIGINT, SIGTERM, SIGCHLD}) {
    signal(signal_number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execvpe(prepared.argv[0], prepared.argv.data(), prepared.env.data());
  return errno;
}

}  // namespace

absl::StatusOr<TaskProcess> StartTaskProcess(const std::string& task_dir, const LaunchSpec& spec) {
  const Prepared prepared = Prepare(task_dir, spec);
  // execvpe searches this process's PATH; the task's is what counts.
  const auto path = spec.env.find("PATH");
  if (path != spec.env.end()) setenv("PATH", path->second.c_str(), 1);

  int output[2];
  int failure[2];
  if (pipe2(output, O_CLOEXEC) != 0) return ErrnoStatus(errno, "output pipe");
  if (pipe2(failure, O_CLOEXEC) != 0) {
    const int error = errno;
    close(output[0]);
    close(output[1]);
    return ErrnoStatus(error, "start pipe");
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    const int error = BecomeTask(prepared, output[1], parent);
    [[maybe_unused]] const ssize_t written = write(failure[1], &error, sizeof(error));
    _exit(127);
  }
  const int fork_error = errno;
  close(output[1]);
  close(failure[1]);
  // The pipe closes by itself when execve succeeds, so a short read means that the program runs.
  int error = pid < 0 ? fork_error : 0;
  if (pid > 0) {
    setpgid(pid, pid);
    while (read(failure[0], &error, sizeof(error)) < 0 && errno == EINTR) {
    }
  }
  close(failure[0]);
  if (error != 0) {
    close(output[0]);
    return ErrnoStatus(error, absl::StrCat("starting '", spec.argv[0], "'"));
  }
  fcntl(output[0], F_SETFL, O_NONBLOCK);
  return TaskProcess{pid, output[0]};
}

}  // namespace oneai::fabric
