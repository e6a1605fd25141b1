// File: models/safetensors/mapped_file.h
//
// A file mapped into memory to be read: opening copies nothing, pages come in as they are touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace oneai::models {

// Immutable and thread-safe. The file must not be truncated meanwhile: reading a page that has gone
// away is a SIGBUS. The writers of this package replace files by rename, which is safe.
class MappedFile {
 public:
  // NotFound: no such file. InvalidArgument: not a regular file, or shorter than the 8 bytes that
  // every format here starts with.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return static_cast<const std::byte*>(data_); }
  int64_t size() const { return size_; }
  absl::string_view text() const {
    return {static_cast<const char*>(data_), static_cast<size_t>(size_)};
  }

 private:
  MappedFile(void* data, int64_t size) : data_(data), size_(size) {}
  void* const data_;
  const int64_t size_;
};

}  // namespace oneai::models
