#include "base/process/run_command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/process/child_process.h"
#include "base/status.h"

namespace oneai {
namespace {

// Both ends of a pipe, closed when they go.
struct Pipe {
  int read_fd = -1;
  int write_fd = -1;

  absl::Status Open() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "cannot make a pipe");
    read_fd = fds[0];
    write_fd = fds[1];
    return absl::OkStatus();
  }
  void CloseRead() {
    if (read_fd >= 0) close(read_fd);
    read_fd = -1;
  }
  void CloseWrite() {
    if (write_fd >= 0) close(write_fd);
    write_fd = -1;
  }
  ~Pipe() {
    CloseRead();
    CloseWrite();
  }
};

// Appends what is there; closes at the end of file.
void Drain(Pipe& pipe, std::string& text) {
  char buffer[1 << 14];
  const ssize_t n = read(pipe.read_fd, buffer, sizeof(buffer));
  if (n > 0) {
    text.append(buffer, static_cast<size_t>(n));
  } else if (n == 0 || errno != EINTR) {
    pipe.CloseRead();
  }
}

absl::Status Collect(const CommandOptions& options, absl::Time deadline, Pipe& out, Pipe& err,
                     CommandResult& result) {
  while (out.read_fd >= 0 || err.read_fd >= 0) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(absl::StrCat(options.argv[0], " did not end within ",
                                                      absl::FormatDuration(options.timeout)));
    }
    // poll ignores negative descriptors, so a closed pipe needs no care.
    std::array<pollfd, 2> fds = {pollfd{out.read_fd, POLLIN, 0}, pollfd{err.read_fd, POLLIN, 0}};
    if (poll(fds.data(), fds.size(), static_cast<int>(absl::ToInt64Milliseconds(left)) + 1) < 0 &&
        errno != EINTR) {
      return ErrnoStatus(errno, "poll");
    }
    if (fds[0].revents != 0) Drain(out, result.standard_output);
    if (fds[1].revents != 0) Drain(err, result.standard_error);
    const size_t size = result.standard_output.size() + result.standard_error.size();
    if (static_cast<int64_t>(size) > options.output_bytes_max) {
      return absl::ResourceExhaustedError(
          absl::StrCat(options.argv[0], " printed more than ", options.output_bytes_max, " bytes"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CommandResult> RunCommand(const CommandOptions& options) {
  Pipe out;
  Pipe err;
  RETURN_IF_ERROR(out.Open());
  RETURN_IF_ERROR(err.Open());
  ChildOptions child;
  child.argv = options.argv;
  child.env = options.env;
  child.stdout_fd = out.write_fd;
  child.stderr_fd = err.write_fd;
  const absl::Time deadline = absl::Now() + options.timeout;
  ASSIGN_OR_RETURN(const pid_t pid, SpawnChild(child));
  out.CloseWrite();
  err.CloseWrite();
  CommandResult result;
  const absl::Status collected = Collect(options, deadline, out, err, result);
  // A program that closes its output and lives on is not waited for either.
  int status = 0;
  pid_t ended = 0;
  while (collected.ok() && (ended = waitpid(pid, &status, WNOHANG)) == 0 &&
         absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  if (ended != pid) {
    kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    RETURN_IF_ERROR(collected);
    return absl::DeadlineExceededError(absl::StrCat(options.argv[0], " did not end within ",
                                                    absl::FormatDuration(options.timeout)));
  }
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return result;
}

}  // namespace oneai
