// File: models/safetensors/atomic_file.h
//
// A file that becomes visible only when whole: written under a temporary name in the same folder,
// synced, renamed over the target, and the folder synced. Until Commit() returns OK, and after any
// failure, a file that was there before is untouched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/files/files.h"

namespace oneai::models {

// Status of a failed write: ResourceExhausted for a full disk, quota or size limit (free space,
// then retry); Unavailable for an I/O error; otherwise what errno means. The message names `path`
// and `action`.
absl::Status WriteError(int error_number, absl::string_view path, absl::string_view action);

// Thread-compatible. Destroying it without Commit() removes the temporary file.
class AtomicFile {
 public:
  // Opens the temporary file. `bytes_expected` > 0 reserves the space at once, so that a full disk
  // is found before work is done. NotFound when the folder does not exist.
  static absl::StatusOr<std::unique_ptr<AtomicFile>> Create(const std::filesystem::path& target,
                                                            int64_t bytes_expected = 0);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Writes at an absolute offset. Errors as WriteError; the object may then only be destroyed.
  absl::Status WriteAt(int64_t offset, absl::Span<const std::byte> bytes);
  // Syncs the content to the disk; idempotent. Commit() does it too; separate for sets of files.
  absl::Status Sync();
  // Makes the file visible under its name and durable. At most once.
  absl::Status Commit();

 private:
  AtomicFile(std::filesystem::path target, std::filesystem::path temporary, int fd)
      : target_(std::move(target)), temporary_(std::move(temporary)), fd_(fd) {}

  const std::filesystem::path target_, temporary_;
  int fd_;
  bool synced_ = false;
};

// The same protocol for a small file whose content is at hand.
using ::oneai::WriteFileAtomically;

}  // namespace oneai::models
