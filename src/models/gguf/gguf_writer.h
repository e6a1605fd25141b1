// File: models/gguf/gguf_writer.h
//
// Writes a GGUF file (version 3) without holding it: metadata and shapes are declared first, then
// bytes are appended tensor by tensor. The file appears under its name only when whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "models/gguf/block_types.h"
#include "models/safetensors/atomic_file.h"

namespace oneai::models {

// Key-value pairs in the encoding of the file, in the order they were put. Keys must differ.
class GgufMetadata {
 public:
  void PutU32(absl::string_view key, uint32_t value);
  void PutF32(absl::string_view key, float value);
  void PutBool(absl::string_view key, bool value);
  void PutText(absl::string_view key, absl::string_view value);
  void PutTexts(absl::string_view key, absl::Span<const std::string> values);
  void PutI32s(absl::string_view key, absl::Span<const int32_t> values);

  const std::string& bytes() const { return bytes_; }
  uint64_t num_keys() const { return num_keys_; }

 private:
  void Key(absl::string_view key, uint32_t kind);

  std::string bytes_;
  uint64_t num_keys_ = 0;
};

// A tensor to be written; `shape` is row-major, outermost first.
struct GgufTensorSpec {
  std::string name;
  std::vector<int64_t> shape;
  BlockType type = BlockType::kF32;
};

// Thread-compatible; destroying it without Commit() leaves no trace.
class GgufWriter {
 public:
  // Reserves the space and writes the header. InvalidArgument: a duplicate or overlong name, more
  // than 4 dims, rows of no whole blocks. NotFound: no such folder. ResourceExhausted: disk full.
  static absl::StatusOr<std::unique_ptr<GgufWriter>> Create(const std::filesystem::path& file,
                                                            const GgufMetadata& metadata,
                                                            std::vector<GgufTensorSpec> tensors);
  // Appends the next bytes of tensor `name`. Errors as SafetensorsWriter::Append.
  absl::Status Append(absl::string_view name, absl::Span<const std::byte> bytes);
  // FailedPrecondition, naming the tensor, unless every tensor is complete; then makes the file
  // visible and durable.
  absl::Status Commit();
  int64_t file_bytes() const { return file_bytes_; }

 private:
  struct Progress {
    int64_t next, end;
  };
  explicit GgufWriter(std::string name) : file_name_(std::move(name)) {}

  const std::string file_name_;
  std::unique_ptr<AtomicFile> file_;
  absl::flat_hash_map<std::string, Progress> progress_;
  int64_t file_bytes_ = 0;
};

}  // namespace oneai::models
