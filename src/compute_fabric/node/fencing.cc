// File: compute_fabric/node/fencing.cc
#include "compute_fabric/node/fencing.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "base/files/files.h"
#include "base/status.h"

namespace oneai::fabric {

absl::StatusOr<EpochFence> EpochFence::Open(std::filesystem::path file) {
  const absl::StatusOr<std::string> text = ReadFile(file, 64);
  if (absl::IsNotFound(text.status())) return EpochFence(std::move(file), 0);
  RETURN_IF_ERROR(text.status());
  int64_t epoch = 0;
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &epoch)) {
    return absl::DataLossError(absl::StrCat(
        file.string(),
        " does not hold an epoch; remove it only when no old controller can be alive"));
  }
  return EpochFence(std::move(file), epoch);
}

absl::Status EpochFence::Admit(int64_t epoch) {
  if (epoch == epoch_) return absl::OkStatus();
  if (epoch < epoch_) {
    return absl::AbortedError(absl::StrCat("answer of a replaced controller: its epoch is ", epoch,
                                           ", this node has seen ", epoch_));
  }
  RETURN_IF_ERROR(WriteFileAtomically(file_, absl::StrCat(epoch, "\n")));
  epoch_ = epoch;
  return absl::OkStatus();
}

void AgentLease::Touch(absl::Time now) {
  if (now >= last_ && now - last_ < absl::Milliseconds(500)) return;
  last_ = now;
  const int fd = open(file_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return;
  futimens(fd, nullptr);
  close(fd);
}

absl::StatusOr<std::unique_ptr<StateLock>> StateLock::Take(const std::filesystem::path& state_dir) {
  const std::filesystem::path path = state_dir / "agent.lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(errno, path.string());
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    close(fd);
    return absl::FailedPreconditionError(absl::StrCat(
        "another oneai-node uses ", state_dir.string(), "; stop it or choose another --state-dir"));
  }
  return absl::WrapUnique(new StateLock(fd));
}

StateLock::~StateLock() { close(fd_); }

}  // namespace oneai::fabric
