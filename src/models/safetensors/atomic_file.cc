#include "models/safetensors/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::models {

absl::Status WriteError(int error_number, absl::string_view path, absl::string_view action) {
  const std::string message = absl::StrCat(path, ": cannot ", action);
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(
          absl::StrCat(message,
                       ": no space left (disk, quota or file size limit); the file there "
                       "before is unchanged. Free space and try again"));
    case EIO:
      return absl::UnavailableError(
          absl::StrCat(message, ": input/output error; the file there before is unchanged"));
    default:
      return absl::ErrnoToStatus(error_number, message);
  }
}

absl::StatusOr<std::unique_ptr<AtomicFile>> AtomicFile::Create(const std::filesystem::path& target,
                                                               int64_t bytes_expected) {
  static std::atomic<uint64_t> counter = 0;  // two writers in one process must not share a name
  std::filesystem::path temporary = target;
  temporary += absl::StrCat(".tmp-", getpid(), "-", counter++);
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return WriteError(errno, temporary.string(), "create the file");
  auto file = std::unique_ptr<AtomicFile>(new AtomicFile(target, std::move(temporary), fd));
  if (bytes_expected > 0 && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, bytes_expected) != 0 &&
      errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR)
    return WriteError(errno, target.string(), absl::StrCat("reserve ", bytes_expected, " bytes"));
  return file;
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_.c_str());
}

absl::Status AtomicFile::WriteAt(int64_t offset, absl::Span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd_, bytes.data(), bytes.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return WriteError(errno, target_.string(), "write");
    if (n == 0) return WriteError(ENOSPC, target_.string(), "write");
    bytes.remove_prefix(n);
    offset += n;
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::Sync() {
  if (!synced_ && fsync(fd_) != 0) return WriteError(errno, target_.string(), "sync");
  synced_ = true;
  return absl::OkStatus();
}

absl::Status AtomicFile::Commit() {
  RETURN_IF_ERROR(Sync());
  if (rename(temporary_.c_str(), target_.c_str()) != 0)
    return WriteError(errno, target_.string(), "rename the finished file into place");
  close(fd_);
  fd_ = -1;  // committed: the destructor has nothing to remove
  const std::filesystem::path folder = target_.parent_path();
  return SyncDirectory(folder.empty() ? "." : folder);
}

}  // namespace oneai::models
