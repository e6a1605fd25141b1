#include "model_platform/train/attempt_fence.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "base/files/files.h"
#include "base/status.h"

namespace oneai::platform {
namespace {

// Holds the lock file's exclusive lock until destroyed; the kernel drops it when the holder dies.
class FileLock {
 public:
  static absl::StatusOr<FileLock> Acquire(const std::filesystem::path& file) {
    const int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return ErrnoStatus(errno, absl::StrCat("opening ", file.string()));
    FileLock lock(fd);
    while (flock(fd, LOCK_EX) != 0) {
      if (errno != EINTR) return ErrnoStatus(errno, absl::StrCat("locking ", file.string()));
    }
    return lock;
  }
  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~FileLock() {
    if (fd_ >= 0) close(fd_);
  }

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace

absl::Status AttemptFence::Check() const {
  const std::filesystem::path file = dir_ / "attempt";
  const absl::StatusOr<std::string> text = ReadFile(file, 64);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  RETURN_IF_ERROR(text.status());
  int64_t newest = 0;
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &newest)) {
    return absl::DataLossError(absl::StrCat(file.string(), ": not an attempt number"));
  }
  if (newest > attempt_) {
    return absl::AbortedError(absl::StrCat("this is attempt ", attempt_, ", but attempt ", newest,
                                           " of the job has started: nothing is written"));
  }
  return absl::OkStatus();
}

absl::Status AttemptFence::Enter() const {
  ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(dir_ / "attempt.lock"));
  RETURN_IF_ERROR(Check());
  return WriteFileAtomically(dir_ / "attempt", absl::StrCat(attempt_, "\n"));
}

absl::Status AttemptFence::Guard(absl::FunctionRef<absl::Status()> publish) const {
  ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(dir_ / "attempt.lock"));
  RETURN_IF_ERROR(Check());
  return publish();
}

}  // namespace oneai::platform
