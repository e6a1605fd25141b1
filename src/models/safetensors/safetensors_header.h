// File: models/safetensors/safetensors_header.h
//
// The header of a safetensors file: u64 little-endian length N, then N bytes of JSON
//   {name: {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {string: string}}
// then the data, which the tensors must cover exactly: no hole, no overlap, nothing left over.
// Source: huggingface/safetensors README, "Format"; the 100 MB bound is that of its reader.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/safetensors/dtype.h"

namespace oneai::models {

inline constexpr int64_t kSafetensorsHeaderBytesMax = 100'000'000;
inline constexpr int kTensorDimsMax = 8;

// A tensor without its data.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
};

// One entry of a header; offsets count from the start of the file.
struct TensorEntry {
  TensorSpec spec;
  int64_t begin = 0;
  int64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  // by offset
  std::map<std::string, std::string> metadata;
  int64_t data_begin = 0;
};

// Bytes that `dtype` x `shape` needs. InvalidArgument for negative extents, more than
// kTensorDimsMax dims or a product that does not fit in int64.
absl::StatusOr<int64_t> TensorBytes(const TensorSpec& spec);

// Parses and checks the header of a file of `file_bytes` bytes that starts with `head` (at least
// the 8 length bytes and the JSON, more is ignored). InvalidArgument, naming `file` and the tensor,
// for anything that is malformed, truncated, overlapping, with holes, or of an unknown dtype.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view head, int64_t file_bytes,
                                                         absl::string_view file);

// Lays the tensors out (wider dtypes first, then by name, as the reference writer does, so that
// every tensor is aligned to its element) and encodes the length and the JSON, padded with spaces
// to a multiple of 8 bytes. `header` receives the resulting offsets. InvalidArgument for duplicate
// or reserved names and bad shapes.
absl::StatusOr<std::string> EncodeSafetensorsHeader(
    std::vector<TensorSpec> specs, const std::map<std::string, std::string>& metadata,
    SafetensorsHeader* header);

}  // namespace oneai::models
