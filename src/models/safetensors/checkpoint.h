// File: models/safetensors/checkpoint.h
//
// Opens the weights of a model folder for reading: `model.safetensors`, or the shards that
// `model.safetensors.index.json` names. Files are memory-mapped, so opening copies no weights and
// tensors are paged in as they are touched.
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
#include "models/safetensors/dtype.h"
#include "models/safetensors/mapped_file.h"

namespace oneai::models {

// A stored tensor: row-major, little-endian. `data` points into the mapping of its Checkpoint.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  absl::Span<const std::byte> data;

  int64_t num_elements() const { return static_cast<int64_t>(data.size()) / DTypeBytes(dtype); }
};

// Returns the elements of a floating-point tensor, converted to float32 (exactly, but for F64,
// which is rounded). InvalidArgument, naming the tensor, for other dtypes. Works for unaligned
// data.
absl::StatusOr<std::vector<float>> ToFloat32(const TensorView& tensor);

// Thread-safe but for Replace(); copies share the mappings. The files must not be truncated while
// it is open: as with every mapping, reading a page that has gone away is a SIGBUS. The writers of
// this package replace files by rename, which is safe.
class Checkpoint {
 public:
  // Opens the weights of model folder `folder`; a single `model.safetensors` wins over an index, as
  // in Hugging Face transformers. NotFound when it has neither. InvalidArgument, naming file and
  // tensor, for a corrupt or truncated file, a shard name that leaves the folder, a tensor that is
  // in two shards, absent from its shard, or absent from the index.
  static absl::StatusOr<Checkpoint> Open(const std::filesystem::path& folder);

  // Opens one safetensors file (adapters, golden files). Errors as above.
  static absl::StatusOr<Checkpoint> OpenFile(const std::filesystem::path& file);

  // All tensors, by name.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  // nullptr when there is none of that name.
  const TensorView* Find(absl::string_view name) const;
  // As Find, but NotFound names folder and tensor.
  absl::StatusOr<TensorView> Get(absl::string_view name) const;
  // __metadata__ of the file (of all shards together).
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  int64_t total_bytes() const { return total_bytes_; }
  const std::string& source() const { return source_; }

  // Puts `values` as an F32 tensor of the same shape in the place of tensor `name`; copies made
  // earlier keep the old one. NotFound: no such tensor. InvalidArgument: not as many elements.
  absl::Status Replace(absl::string_view name, std::vector<float> values);

 private:
  Checkpoint() = default;
  absl::Status AddFile(const std::filesystem::path& file);
  absl::Status Index();

  std::string source_;
  std::vector<std::shared_ptr<const MappedFile>> mappings_;
  std::vector<std::shared_ptr<const std::vector<float>>> replaced_;
  std::vector<TensorView> tensors_;
  std::vector<std::string> file_of_;  // before Index(): the file of each tensor, for messages
  absl::flat_hash_map<std::string, size_t> by_name_;
  std::map<std::string, std::string> metadata_;
  int64_t total_bytes_ = 0;
};

}  // namespace oneai::models
