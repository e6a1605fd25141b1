// File: compute_fabric/shim/output_file.h
//
// A task's captured output: appended, bounded, and never in the task's way. A full disk or the size
// limit drops bytes, counts them and says so in the file; the task goes on.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace oneai::fabric {

// Thread-compatible. One writer a file.
class OutputFile {
 public:
  // Appends to `path`, which is created when absent; what it already holds counts towards
  // `bytes_max`. A file that cannot be opened drops everything.
  OutputFile(const std::string& path, int64_t bytes_max);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void Append(absl::string_view data);
  // Makes what was written durable.
  void Sync();
  int64_t bytes_dropped() const { return bytes_dropped_; }

 private:
  // Number of bytes of `data` that reached the file.
  size_t WriteSome(absl::string_view data);

  int fd_;
  const int64_t bytes_max_;
  int64_t size_ = 0;
  int64_t bytes_dropped_ = 0;
  int64_t bytes_dropped_unreported_ = 0;  // lost to a full disk, not yet said in the file
  bool limit_reported_ = false;
};

}  // namespace oneai::fabric
