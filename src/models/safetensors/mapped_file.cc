#include "models/safetensors/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"

namespace oneai::models {

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(
    const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path.string(), ": cannot be opened"));
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size < 8) {
    close(fd);
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), ": is not a file of weights (", info.st_size, " bytes)"));
  }
  void* data = mmap(nullptr, info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  const int error = errno;
  close(fd);
  if (data == MAP_FAILED)
    return absl::ErrnoToStatus(error, absl::StrCat(path.string(), ": cannot be mapped"));
  return std::shared_ptr<const MappedFile>(new MappedFile(data, info.st_size));
}

MappedFile::~MappedFile() { munmap(data_, size_); }

}  // namespace oneai::models
