// File: models/gguf/gguf_file.h
//
// The container of a GGUF file: metadata and a table of tensors, mapped. Nothing here knows what
// the keys mean (gguf_config.h, gguf_tokenizer.h) or what tensors are called (gguf_source.h).
// Source: ggml docs/gguf.md, versions 2 and 3, little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "models/gguf/block_types.h"
#include "models/safetensors/mapped_file.h"

namespace oneai::models {

inline constexpr int64_t kGgufAlignment = 32;  // unless general.alignment says otherwise

// Arrays of numbers keep 64 bits an element; strings borrow the file.
using GgufStrings = std::vector<absl::string_view>;
using GgufIntegers = std::vector<int64_t>;
using GgufReals = std::vector<double>;
using GgufValue =
    std::variant<bool, int64_t, double, absl::string_view, GgufStrings, GgufIntegers, GgufReals>;

// A stored tensor. `shape` is row-major, outermost first (the file lists it innermost first).
struct GgufTensor {
  std::string name;
  std::vector<int64_t> shape;
  BlockType type = BlockType::kF32;
  int64_t begin = 0, bytes = 0;  // from the start of the file
};

struct GgufHeader {
  std::map<std::string, GgufValue, std::less<>> metadata;
  std::vector<GgufTensor> tensors;  // by offset
  int64_t alignment = kGgufAlignment;

  // The value of `key`. nullopt when it is absent or null; InvalidArgument, naming the key, when it
  // is of another kind (integers are accepted for reals) or, for integers, outside [min, max].
  absl::StatusOr<std::optional<int64_t>> Integer(absl::string_view key, int64_t min,
                                                 int64_t max) const;
  absl::StatusOr<std::optional<double>> Real(absl::string_view key) const;
  absl::StatusOr<std::optional<absl::string_view>> Text(absl::string_view key) const;
  absl::StatusOr<std::optional<bool>> Flag(absl::string_view key) const;
  // nullptr where it is absent.
  absl::StatusOr<const GgufStrings*> Strings(absl::string_view key) const;
  absl::StatusOr<const GgufIntegers*> Integers(absl::string_view key) const;
};

// Parses `bytes`, the whole file or a prefix with all of the header, of a file of `file_bytes`.
// Every length is checked against what is left before anything is allocated. InvalidArgument,
// naming `file` and key or tensor: not GGUF, version 1, big-endian, cut off, a duplicate, a
// misaligned tensor, overlap or hole, an extent that overflows. Unimplemented: a block type that is
// not read.
absl::StatusOr<GgufHeader> ParseGguf(absl::string_view bytes, int64_t file_bytes,
                                     absl::string_view file);

// An open file. Immutable and thread-safe.
struct GgufFile {
  std::string path;
  std::shared_ptr<const MappedFile> mapping;
  GgufHeader header;

  static absl::StatusOr<std::shared_ptr<const GgufFile>> Open(const std::filesystem::path& path);
  const std::byte* DataOf(const GgufTensor& tensor) const { return mapping->data() + tensor.begin; }
};

}  // namespace oneai::models
