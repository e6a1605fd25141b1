#include "compute_fabric/shim/disk_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace oneai::fabric {
namespace {

constexpr absl::Duration kInterval = absl::Milliseconds(500);
constexpr int kCostShare = 20;
constexpr int kDepthMax = 256;  // each level holds a descriptor open

std::string InMiB(int64_t bytes) {
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / (1 << 20));
}

// Adds what is below the folder `fd`, which it closes. By descriptors, so that the task cannot
// swap a folder for a link to elsewhere under way.
void MeasureBelow(int fd, dev_t device, int64_t entries_max, int depth, FolderSize& size) {
  DIR* folder = fdopendir(fd);
  if (folder == nullptr) {
    close(fd);
    return;
  }
  while (const dirent* entry = readdir(folder)) {
    if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
    struct stat info {};
    if (fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (++size.num_entries >= entries_max) break;
    size.bytes += int64_t{info.st_blocks} * 512;
    if (!S_ISDIR(info.st_mode) || info.st_dev != device || depth >= kDepthMax) continue;
    const int child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child >= 0) MeasureBelow(child, device, entries_max, depth + 1, size);
  }
  closedir(folder);
}

}  // namespace

FolderSize MeasureFolder(const std::string& folder, int64_t entries_max) {
  FolderSize size;
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat info {};
  if (fd < 0) return size;
  if (fstat(fd, &info) != 0) {
    close(fd);
    return size;
  }
  MeasureBelow(fd, info.st_dev, entries_max, 0, size);
  return size;
}

std::optional<std::string> DiskWatch::Check(absl::Duration now) {
  if (bytes_max_ <= 0 || now < next_) return std::nullopt;
  const absl::Time start = absl::Now();
  const FolderSize size = MeasureFolder(folder_, kEntriesMax);
  next_ = now + std::max(kInterval, kCostShare * (absl::Now() - start));
  if (size.bytes > bytes_max_) {
    return absl::StrCat("disk limit: the task's folder holds ", InMiB(size.bytes),
                        ", more than its limit of ", InMiB(bytes_max_),
                        "; write large files to $ONEAI_ARTIFACT_DIR, or raise disk_bytes");
  }
  if (size.num_entries >= kEntriesMax) {
    return absl::StrCat("disk limit: the task's folder holds more than ", kEntriesMax,
                        " files; write fewer");
  }
  return std::nullopt;
}

}  // namespace oneai::fabric
