#include "base/process/child_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files/files.h"
#include "base/status.h"

extern char** environ;

namespace oneai {
namespace {

// Everything that the child needs, made before fork: after it, in a process with threads, only
// async-signal-safe calls are allowed (signal-safety(7)); no allocation, no lock.
struct Prepared {
  std::string program;
  std::vector<std::string> env_text;
  std::vector<char*> argv;
  std::vector<char*> envp;
};

absl::StatusOr<std::string> FindProgram(const ChildOptions& options) {
  if (options.argv.empty() || options.argv[0].empty()) {
    return absl::InvalidArgumentError("a command needs at least a program");
  }
  const std::string& name = options.argv[0];
  if (absl::StrContains(name, '/')) return name;  // execve itself says if it is not there
  const auto it = options.env.find("PATH");
  const std::string path = it != options.env.end() ? it->second : "/usr/local/bin:/usr/bin:/bin";
  for (absl::string_view dir : absl::StrSplit(path, ':', absl::SkipEmpty())) {
    std::string candidate = absl::StrCat(dir, "/", name);
    std::error_code ignored;
    if (access(candidate.c_str(), X_OK) == 0 &&
        !std::filesystem::is_directory(candidate, ignored)) {
      return candidate;
    }
  }
  return absl::NotFoundError(absl::StrCat("no program \"", name, "\" in PATH ", path));
}

absl::Status RefuseNul(const ChildOptions& options) {
  const auto has_nul = [](const std::string& text) { return absl::StrContains(text, '\0'); };
  for (const std::string& argument : options.argv) {
    if (has_nul(argument)) return absl::InvalidArgumentError("an argument contains NUL");
  }
  for (const auto& [name, value] : options.env) {
    if (name.empty() || absl::StrContains(name, '=') || has_nul(name) || has_nul(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("environment variable \"", name, "\" is not valid"));
    }
  }
  return absl::OkStatus();
}

void SetDescriptors(int stdout_fd, int stderr_fd) {
  const int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null_fd >= 0) dup2(null_fd, STDIN_FILENO);
  if (stdout_fd >= 0) dup2(stdout_fd, STDOUT_FILENO);
  if (stderr_fd >= 0) dup2(stderr_fd, STDERR_FILENO);
  // Libraries leave descriptors open across exec; a lock or a listening port must not live on in
  // the child.
  syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
}

void ResetSignals() {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (int signal_number = 1; signal_number < NSIG; ++signal_number) {
    sigaction(signal_number, &action, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// In the child: becomes the program, or returns the errno.
int Become(const ChildOptions& options, const Prepared& prepared, int output_fd, pid_t parent) {
  if (options.new_session ? setsid() < 0 : setpgid(0, 0) != 0) return errno;
  if (options.die_with_parent) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
    if (getppid() != parent) _exit(127);  // it died before the call took effect
  }
  if (!options.working_dir.empty() && chdir(options.working_dir.c_str()) != 0) return errno;
  SetDescriptors(options.stdout_fd >= 0 ? options.stdout_fd : output_fd,
                 options.stderr_fd >= 0 ? options.stderr_fd : output_fd);
  ResetSignals();
  execve(prepared.program.c_str(), prepared.argv.data(), prepared.envp.data());
  return errno;
}

// The child's errno; 0 when exec closed the pipe.
int ReadError(int fd) {
  int error = 0;
  ssize_t n;
  do {
    n = read(fd, &error, sizeof(error));
  } while (n < 0 && errno == EINTR);
  return n == static_cast<ssize_t>(sizeof(error)) ? error : 0;
}

absl::StatusOr<pid_t> ForkAndExec(const ChildOptions& options, const Prepared& prepared,
                                  int output_fd) {
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "cannot make a pipe");
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    const int error = Become(options, prepared, output_fd, parent);
    const ssize_t ignored = write(pipe_fds[1], &error, sizeof(error));
    static_cast<void>(ignored);
    _exit(127);
  }
  const int fork_error = errno;
  close(pipe_fds[1]);
  if (pid < 0) {
    close(pipe_fds[0]);
    return ErrnoStatus(fork_error, "cannot start a process");
  }
  const int error = ReadError(pipe_fds[0]);
  close(pipe_fds[0]);
  if (error == 0) return pid;
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return ErrnoStatus(error,
                     absl::StrCat("cannot run ", prepared.program,
                                  options.working_dir.empty() ? "" : " in ", options.working_dir));
}

}  // namespace

absl::StatusOr<pid_t> SpawnChild(const ChildOptions& options) {
  RETURN_IF_ERROR(RefuseNul(options));
  Prepared prepared;
  ASSIGN_OR_RETURN(prepared.program, FindProgram(options));
  ChildOptions mine = options;  // execve wants char*
  for (std::string& argument : mine.argv) prepared.argv.push_back(argument.data());
  prepared.argv.push_back(nullptr);
  for (const auto& [name, value] : mine.env)
    prepared.env_text.push_back(absl::StrCat(name, "=", value));
  for (std::string& text : prepared.env_text) prepared.envp.push_back(text.data());
  prepared.envp.push_back(nullptr);

  if (mine.output_file.empty()) return ForkAndExec(mine, prepared, -1);
  const int output_fd =
      open(mine.output_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (output_fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot open ", mine.output_file));
  absl::StatusOr<pid_t> pid = ForkAndExec(mine, prepared, output_fd);
  close(output_fd);
  return pid;
}

std::map<std::string, std::string> CurrentEnvironment() {
  std::map<std::string, std::string> environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(*entry, absl::MaxSplits('=', 1));
    if (!parts.first.empty()) environment.insert(parts);
  }
  return environment;
}

std::string ExecutableDir() {
  std::error_code error;
  const std::filesystem::path executable = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "." : executable.parent_path().string();
}

}  // namespace oneai
