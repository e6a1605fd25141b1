#include "compute_fabric/shim/sandbox_init.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/files/files.h"

namespace oneai::fabric {
namespace {

constexpr int kFirstProgramArgument = 6;  // shim --init CONTROL ENVIRONMENT SECCOMP -- program ...

// The whole of a small memory file.
std::string ReadAll(int fd) {
  const off_t size = lseek(fd, 0, SEEK_END);
  std::string text(std::max<off_t>(size, 0), '\0');
  const ssize_t n = pread(fd, text.data(), text.size(), 0);
  text.resize(std::max<ssize_t>(n, 0));
  return text;
}

// "A=1\0B=2\0" as an environment; the pointers are into `text`.
std::vector<char*> SplitEnvironment(std::string& text) {
  std::vector<char*> env;
  for (size_t at = 0; at < text.size(); at += std::strlen(&text[at]) + 1) env.push_back(&text[at]);
  env.push_back(nullptr);
  return env;
}

void Report(int control, SandboxReport::Kind kind, int value) {
  const SandboxReport report = {kind, value};
  [[maybe_unused]] const ssize_t sent = send(control, &report, sizeof(report), MSG_NOSIGNAL);
}

// Starts the program in a process group of its own. `failure` gets the errno when it cannot.
pid_t StartProgram(char** argv, char** env, int* failure) {
  int start[2];
  if (pipe2(start, O_CLOEXEC) != 0) {
    *failure = errno;
    return -1;
  }
  const pid_t pid = fork();
  if (pid == 0) {
    setpgid(0, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    execvpe(argv[0], argv, env);
    const int error = errno;
    [[maybe_unused]] const ssize_t written = write(start[1], &error, sizeof(error));
    _exit(127);
  }
  *failure = pid < 0 ? errno : 0;
  close(start[1]);
  if (pid > 0) {
    setpgid(pid, pid);
    while (read(start[0], failure, sizeof(*failure)) < 0 && errno == EINTR) {
    }
  }
  close(start[0]);
  return pid;
}

// Until the program has ended; its orphans end with this process.
int Serve(int control, int signal_fd, pid_t program) {
  bool shim_lives = true;
  while (true) {
    pollfd fds[] = {{signal_fd, POLLIN, 0}, {shim_lives ? control : -1, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return 1;
    signalfd_siginfo info{};
    while (read(signal_fd, &info, sizeof(info)) == sizeof(info)) {
    }
    int status = 0;
    for (pid_t pid = 0; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
      if (pid != program) continue;
      Report(control, SandboxReport::kEnded, status);
      return 0;
    }
    int32_t signal_number = 0;
    const ssize_t n = recv(control, &signal_number, sizeof(signal_number), MSG_DONTWAIT);
    if (n == sizeof(signal_number)) kill(-program, signal_number);
    if (n == 0) shim_lives = false;  // This process is about to be killed with it.
  }
}

}  // namespace

absl::StatusOr<SandboxChannel> OpenSandboxChannel(const std::map<std::string, std::string>& env) {
  SandboxChannel channel;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoStatus(errno, "socketpair");
  }
  channel.control = ends[0];
  channel.task_control = ends[1];
  fcntl(channel.control, F_SETFL, O_NONBLOCK);
  std::string text;
  for (const auto& [name, value] : env) {
    absl::StrAppend(&text, name, "=", value);
    text.push_back('\0');
  }
  channel.environment = memfd_create("environment", MFD_CLOEXEC);
  if (channel.environment < 0 ||
      write(channel.environment, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    const int error = errno;
    for (int fd : {channel.control, channel.task_control, channel.environment}) close(fd);
    return ErrnoStatus(error, "memory file for the environment");
  }
  return channel;
}

bool SendToSandbox(int control, int signal_number) {
  const int32_t number = signal_number;
  return send(control, &number, sizeof(number), MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(number);
}

std::optional<SandboxReport> ReadSandboxReport(int control) {
  SandboxReport report;
  if (recv(control, &report, sizeof(report), MSG_DONTWAIT) != sizeof(report)) return std::nullopt;
  return report;
}

std::vector<std::string> SandboxInitArguments(const std::string& shim_program,
                                              const SandboxChannel& channel, SeccompMode seccomp,
                                              const std::vector<std::string>& argv) {
  std::vector<std::string> arguments = {shim_program,
                                        kSandboxInitFlag,
                                        absl::StrCat(channel.task_control),
                                        absl::StrCat(channel.environment),
                                        std::string(SeccompModeName(seccomp)),
                                        "--"};
  arguments.insert(arguments.end(), argv.begin(), argv.end());
  return arguments;
}

int RunSandboxInit(int argc, char** argv) {
  int control = -1;
  int environment = -1;
  if (argc <= kFirstProgramArgument || !absl::SimpleAtoi(argv[2], &control) ||
      !absl::SimpleAtoi(argv[3], &environment)) {
    return 2;
  }
  prctl(PR_SET_DUMPABLE, 0);  // The task may not trace this process.
  fcntl(control, F_SETFD, FD_CLOEXEC);
  std::string text = ReadAll(environment);
  close(environment);
  const std::vector<char*> env = SplitEnvironment(text);
  const absl::StatusOr<SeccompMode> mode = ParseSeccompMode(argv[4]);
  if (!mode.ok()) return 2;
  const absl::StatusOr<std::vector<sock_filter>> filter = BuildSeccompProgram(*mode);
  if (!filter.ok()) {
    Report(control, SandboxReport::kNotStarted, ENOSYS);
    return 1;
  }
  if (const int error = InstallSeccompProgram(*filter); error != 0) {
    Report(control, SandboxReport::kNotStarted, error);
    return 1;
  }
  sigset_t handled;
  sigfillset(&handled);
  sigprocmask(SIG_BLOCK, &handled, nullptr);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  const int signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  // execvpe looks the program up in this process's PATH; the task's is what counts.
  for (const char* line : env) {
    if (line != nullptr && std::strncmp(line, "PATH=", 5) == 0) setenv("PATH", line + 5, 1);
  }
  int failure = 0;
  const pid_t program =
      StartProgram(argv + kFirstProgramArgument, const_cast<char**>(env.data()), &failure);
  if (failure != 0) {
    Report(control, SandboxReport::kNotStarted, failure);
    return 1;
  }
  return Serve(control, signal_fd, program);
}

}  // namespace oneai::fabric
