// File: compute_fabric/shim/output_file.cc
#include "compute_fabric/shim/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"

namespace oneai::fabric {

OutputFile::OutputFile(const std::string& path, int64_t bytes_max)
    : fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)),
      bytes_max_(bytes_max) {
  struct stat info {};
  if (fd_ >= 0 && fstat(fd_, &info) == 0) size_ = info.st_size;
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) close(fd_);
}

size_t OutputFile::WriteSome(absl::string_view data) {
  size_t written = 0;
  while (fd_ >= 0 && written < data.size()) {
    const ssize_t n = write(fd_, data.data() + written, data.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    written += n;
  }
  size_ += written;
  return written;
}

void OutputFile::Append(absl::string_view data) {
  if (bytes_dropped_unreported_ > 0 && !limit_reported_) {
    const std::string notice = absl::StrCat("\n[oneai: ", bytes_dropped_unreported_,
                                            " bytes of output were lost: the disk was full]\n");
    if (WriteSome(notice) == notice.size()) bytes_dropped_unreported_ = 0;
  }
  const int64_t room = std::max<int64_t>(0, bytes_max_ - size_);
  const absl::string_view kept = data.substr(0, room);
  const size_t written = WriteSome(kept);
  bytes_dropped_ += data.size() - written;
  if (written < kept.size()) {
    bytes_dropped_unreported_ += kept.size() - written;
  } else if (kept.size() < data.size() && !limit_reported_) {
    // Written beyond the limit on purpose, once: a silent end would read like the end of the task.
    limit_reported_ = true;
    WriteSome(absl::StrCat("\n[oneai: the output limit of ", bytes_max_,
                           " bytes is reached; further output is discarded]\n"));
  }
}

void OutputFile::Sync() {
  if (fd_ >= 0) fsync(fd_);
}

}  // namespace oneai::fabric
