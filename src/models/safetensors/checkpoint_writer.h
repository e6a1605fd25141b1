// File: models/safetensors/checkpoint_writer.h
//
// Writes safetensors files without holding them in memory: the shapes are declared first, then
// bytes are appended tensor by tensor, in any order and in pieces of any size, straight from where
// they lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "models/safetensors/atomic_file.h"
#include "models/safetensors/safetensors_header.h"

namespace oneai::models {

struct CheckpointWriterOptions {
  // Tensor bytes of a shard; a single tensor above it gets a shard of its own. 50 GB is the default
  // of Hugging Face transformers 5.
  int64_t shard_bytes_max = 50'000'000'000;
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
};

// One .safetensors file. Thread-compatible; destroying it without Commit() leaves no trace.
class SafetensorsWriter {
 public:
  // Reserves the space and writes the header. InvalidArgument: bad names or shapes.
  // ResourceExhausted: disk full.
  static absl::StatusOr<std::unique_ptr<SafetensorsWriter>> Create(
      const std::filesystem::path& file, std::vector<TensorSpec> specs,
      const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

  // Appends the next bytes of tensor `name`. NotFound: not declared. OutOfRange: more than its
  // shape holds. ResourceExhausted / Unavailable as in WriteError; then only destruction is left
  // and the old file stays.
  absl::Status Append(absl::string_view name, absl::Span<const std::byte> bytes);
  // FailedPrecondition, naming the tensor, unless every tensor is complete. Does not publish yet.
  absl::Status Finish();
  // Finish(), then makes the file visible and durable.
  absl::Status Commit();

 private:
  struct Progress {
    int64_t next, end;
  };
  explicit SafetensorsWriter(std::string file) : file_name_(std::move(file)) {}

  const std::string file_name_;
  std::unique_ptr<AtomicFile> file_;
  absl::flat_hash_map<std::string, Progress> progress_;
};

// The weights of a model folder: `model.safetensors`, or numbered shards and their index when the
// tensors exceed one shard. Each file is atomic, and the index comes last; a reader that opens the
// folder during Commit() of a sharded replacement may still see old and new shards side by side, so
// replace a whole folder by writing a new one and renaming it.
class CheckpointWriter {
 public:
  // Shards take tensors in the given order. Errors as SafetensorsWriter::Create; NotFound: no such
  // folder.
  static absl::StatusOr<std::unique_ptr<CheckpointWriter>> Create(
      const std::filesystem::path& folder, std::vector<TensorSpec> specs,
      CheckpointWriterOptions options = {});
  // As SafetensorsWriter::Append.
  absl::Status Append(absl::string_view name, absl::Span<const std::byte> bytes);
  // Publishes shards, then the index, and removes weights of the other form (single or sharded
  // index), which would otherwise shadow or contradict the new ones.
  absl::Status Commit();

 private:
  explicit CheckpointWriter(std::filesystem::path folder) : folder_(std::move(folder)) {}

  const std::filesystem::path folder_;
  std::vector<std::unique_ptr<SafetensorsWriter>> shards_;
  std::vector<std::string> shard_names_;
  absl::flat_hash_map<std::string, size_t> shard_of_;
  int64_t total_bytes_ = 0;
};

}  // namespace oneai::models
