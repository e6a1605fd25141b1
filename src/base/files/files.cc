#include "base/files/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace oneai {
namespace {

// Closes on scope exit; Close() reports the error that a delayed write may only show there.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  int Close() { return close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

absl::Status WriteAll(int fd, absl::string_view content, absl::string_view what) {
  while (!content.empty()) {
    const ssize_t n = write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, what);
    content.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status WriteAndSync(const std::string& path, absl::string_view content, int mode) {
  const std::string what = absl::StrCat("cannot write ", path);
  Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.get() < 0) return ErrnoStatus(errno, what);
  RETURN_IF_ERROR(WriteAll(file.get(), content, what));
  if (fchmod(file.get(), static_cast<mode_t>(mode)) != 0) return ErrnoStatus(errno, what);
  if (fsync(file.get()) != 0) return ErrnoStatus(errno, what);
  if (file.Close() != 0) return ErrnoStatus(errno, what);
  return absl::OkStatus();
}

// Unique within the machine: two writers of one path must not share a temporary file.
std::string TemporaryName(const std::filesystem::path& path) {
  static std::atomic<uint64_t> counter{0};
  return absl::StrCat(path.string(), ".tmp.", getpid(), ".", counter.fetch_add(1));
}

}  // namespace

absl::Status ErrnoStatus(int error_number, absl::string_view what) {
  const std::string message =
      absl::StrCat(what, ": ", std::generic_category().message(error_number));
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(absl::StrCat(message, "; free some space and retry"));
    case ENOENT:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case EEXIST:
      return absl::AlreadyExistsError(message);
    case EISDIR:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
      return absl::InvalidArgumentError(message);
    case EAGAIN:
    case EINTR:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EADDRINUSE:
      return absl::UnavailableError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path, int64_t bytes_max) {
  const std::string what = absl::StrCat("cannot read ", path.string());
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return ErrnoStatus(errno, what);
  std::string content;
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = read(file.get(), buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, what);
    if (n == 0) return content;
    if (static_cast<int64_t>(content.size()) + n > bytes_max) {
      return absl::ResourceExhaustedError(
          absl::StrCat(path.string(), " is larger than ", bytes_max, " bytes, the limit here"));
    }
    content.append(buffer, static_cast<size_t>(n));
  }
}

absl::Status SyncDirectory(const std::filesystem::path& dir) {
  const std::string what = absl::StrCat("cannot sync folder ", dir.string());
  Descriptor handle(open(dir.empty() ? "." : dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (handle.get() < 0) return ErrnoStatus(errno, what);
  if (fsync(handle.get()) != 0) return ErrnoStatus(errno, what);
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(const std::filesystem::path& path, absl::string_view content,
                                 int mode) {
  const std::string temporary = TemporaryName(path);
  absl::Status status = WriteAndSync(temporary, content, mode);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("cannot replace ", path.string()));
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  return SyncDirectory(path.parent_path());
}

absl::StatusOr<std::filesystem::path> ResolveBeneath(const std::filesystem::path& root,
                                                     absl::string_view relative) {
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("path \"", absl::CHexEscape(relative), "\" ",
                                                   why, "; give a path below ", root.string()));
  };
  if (relative.empty()) return refuse("is empty");
  if (relative.find('\0') != absl::string_view::npos) return refuse("contains NUL");
  if (relative.find('\\') != absl::string_view::npos) return refuse("contains a backslash");
  if (relative[0] == '/') return refuse("is absolute");
  for (absl::string_view segment : absl::StrSplit(relative, '/')) {
    if (segment == "..") return refuse("contains \"..\"");
  }
  std::error_code error;
  const std::filesystem::path real_root = std::filesystem::weakly_canonical(root, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("cannot resolve ", root.string()));
  // Follows the symbolic links of the part that exists; what does not exist yet cannot lead away.
  const std::filesystem::path real =
      std::filesystem::weakly_canonical(real_root / std::string(relative), error);
  if (error) return refuse(absl::StrCat("cannot be resolved (", error.message(), ")"));
  const auto [end_of_root, unused] =
      std::mismatch(real_root.begin(), real_root.end(), real.begin(), real.end());
  if (end_of_root != real_root.end()) return refuse("leads outside through a symbolic link");
  // A link that is left in a resolved path leads nowhere yet; creating the file would follow it.
  for (std::filesystem::path p = real; p != real_root && p.has_relative_path();
       p = p.parent_path()) {
    if (std::filesystem::is_symlink(p, error)) return refuse("goes through a broken symbolic link");
  }
  return real;
}

}  // namespace oneai
