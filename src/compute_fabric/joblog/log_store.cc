#include "compute_fabric/joblog/log_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files/files.h"
#include "base/status.h"

namespace oneai::fabric {
namespace {

namespace fs = std::filesystem;

bool IsFileName(absl::string_view job_id) {
  return !job_id.empty() && job_id.size() <= 128 &&
         std::all_of(job_id.begin(), job_id.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

absl::string_view StreamName(v1::LogStream stream) {
  return stream == v1::METRICS ? "metrics" : "output";
}

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace

fs::path LogStore::PathOf(const LogName& name) const {
  return root_ / name.job_id /
         absl::StrCat(name.rank, ".", name.attempt, ".", StreamName(name.stream));
}

std::string LogStore::Notice() const {
  return absl::StrCat("\n[oneai: output beyond ", bytes_max_, " bytes is not kept]\n");
}

LogStore::File& LogStore::Find(const LogName& name) const {
  auto [it, inserted] = files_.try_emplace(name);
  if (inserted) {
    std::error_code error;
    const auto size = fs::file_size(PathOf(name), error);
    it->second.size = error ? 0 : static_cast<int64_t>(size);
  }
  return it->second;
}

absl::StatusOr<int64_t> LogStore::Append(const LogName& name, int64_t offset,
                                         absl::string_view data, bool eof) {
  if (!IsFileName(name.job_id)) return absl::InvalidArgumentError("job_id: not a job's id");
  if (static_cast<int64_t>(data.size()) > kAppendBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("data: ", data.size(), " bytes; at most ", kAppendBytesMax));
  }
  {
    absl::MutexLock lock(&mu_);
    File& file = Find(name);
    if (file.busy || offset != file.size) return file.size;
    file.busy = true;
  }
  const absl::Status written = Write(name, offset, data, eof);
  absl::MutexLock lock(&mu_);
  File& file = Find(name);
  file.busy = false;
  if (!written.ok()) return written;
  file.size += static_cast<int64_t>(data.size());
  file.eof = file.eof || eof;
  grown_.SignalAll();
  return file.size;
}

absl::Status LogStore::Write(const LogName& name, int64_t offset, absl::string_view data,
                             bool eof) const {
  const fs::path path = PathOf(name);
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error)
    return ErrnoStatus(error.value(), absl::StrCat("make folder ", path.parent_path().string()));
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0640));
  if (file.get() < 0) return ErrnoStatus(errno, absl::StrCat("open ", path.string()));
  data = data.substr(0, static_cast<size_t>(std::max<int64_t>(0, bytes_max_ - offset)));
  // Written at its offset, not appended: what a failed write left half is written over when the
  // agent sends it again.
  while (!data.empty()) {
    const ssize_t n = pwrite(file.get(), data.data(), data.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("write ", path.string()));
    data.remove_prefix(static_cast<size_t>(n));
    offset += n;
  }
  if (eof && fdatasync(file.get()) != 0)
    return ErrnoStatus(errno, absl::StrCat("sync ", path.string()));
  return absl::OkStatus();
}

absl::StatusOr<LogSlice> LogStore::Read(const LogName& name, int64_t offset,
                                        int64_t bytes_max) const {
  if (!IsFileName(name.job_id)) return absl::InvalidArgumentError("job_id: not a job's id");
  File state;
  {
    absl::MutexLock lock(&mu_);
    state = Find(name);
  }
  // The kept bytes, then (beyond the bound) the notice, form one text.
  const int64_t kept = std::min(state.size, bytes_max_);
  const std::string notice = state.size > bytes_max_ ? Notice() : "";
  const int64_t total = kept + static_cast<int64_t>(notice.size());
  LogSlice slice;
  slice.offset = std::clamp<int64_t>(offset < 0 ? total + offset : offset, 0, total);
  if (const int64_t want = std::min(bytes_max, kept - slice.offset); want > 0) {
    FileDescriptor file(open(PathOf(name).c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) return ErrnoStatus(errno, absl::StrCat("open ", PathOf(name).string()));
    slice.data.resize(static_cast<size_t>(want));
    const ssize_t n = pread(file.get(), slice.data.data(), slice.data.size(), slice.offset);
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("read ", PathOf(name).string()));
    slice.data.resize(static_cast<size_t>(n));
  } else if (slice.offset < total) {
    slice.data =
        notice.substr(static_cast<size_t>(slice.offset - kept), static_cast<size_t>(bytes_max));
  }
  slice.eof = state.eof && slice.offset + static_cast<int64_t>(slice.data.size()) >= total;
  return slice;
}

void LogStore::WaitForData(const LogName& name, int64_t size, absl::Duration timeout) const {
  const absl::Time deadline = absl::Now() + timeout;
  absl::MutexLock lock(&mu_);
  while (true) {
    const File& file = Find(name);
    if (std::min(file.size, bytes_max_) > size || file.eof) return;
    if (grown_.WaitWithDeadline(&mu_, deadline)) return;
  }
}

std::vector<LogName> LogStore::List(const std::string& job_id) const {
  std::vector<LogName> names;
  if (!IsFileName(job_id)) return names;
  std::error_code error;
  for (fs::directory_iterator it(root_ / job_id, error), end; !error && it != end;
       it.increment(error)) {
    const std::vector<std::string> parts = absl::StrSplit(it->path().filename().string(), '.');
    LogName name{.job_id = job_id};
    if (parts.size() != 3 || !absl::SimpleAtoi(parts[0], &name.rank) ||
        !absl::SimpleAtoi(parts[1], &name.attempt))
      continue;
    name.stream = parts[2] == "metrics" ? v1::METRICS : v1::OUTPUT;
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<int> LogStore::Attempts(const std::string& job_id, int rank,
                                    v1::LogStream stream) const {
  std::vector<int> attempts;
  for (const LogName& name : List(job_id)) {
    if (name.rank == rank && name.stream == stream) attempts.push_back(name.attempt);
  }
  return attempts;
}

void LogStore::Delete(const std::string& job_id) {
  if (!IsFileName(job_id)) return;
  {
    absl::MutexLock lock(&mu_);
    std::erase_if(files_, [&](const auto& item) { return item.first.job_id == job_id; });
  }
  std::error_code ignored;  // what stays is waste, not a fault
  fs::remove_all(root_ / job_id, ignored);
}

}  // namespace oneai::fabric
