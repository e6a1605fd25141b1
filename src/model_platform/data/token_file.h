// File: model_platform/data/token_file.h
//
// Tokenised documents on disk in Megatron-LM's format: `<prefix>.bin` holds the token ids of all
// documents one after the other, `<prefix>.idx` where each begins. Either tool reads the other's.
//   .idx, little-endian: "MMIDIDX\0\0", u64 version 1, u8 dtype (4: int32, 8: uint16), u64 number
//   of sequences S, u64 D = documents + 1, i32 lengths[S] in tokens, i64 offsets[S] in bytes, i64
//   document_starts[D] (indices of sequences, from 0 to S).
// Source: Megatron-LM, megatron/core/datasets/indexed_dataset.py.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "models/safetensors/atomic_file.h"

namespace oneai::platform {

// Megatron stores ids in 16 bits when they fit, with some room: below this vocabulary.
inline constexpr int64_t kUint16VocabLimit = 65500;

// One document is one sequence. Thread-compatible. Destroying it without Finish() leaves no trace.
class TokenFileWriter {
 public:
  static absl::StatusOr<std::unique_ptr<TokenFileWriter>> Create(std::filesystem::path prefix,
                                                                 int64_t vocab_size);
  // InvalidArgument: no token, more than 2^31 - 1, or an id outside the vocabulary.
  // ResourceExhausted: disk full.
  absl::Status Add(absl::Span<const int32_t> document);
  // Makes .bin and then .idx visible and durable.
  absl::Status Finish();

  int64_t num_documents() const { return static_cast<int64_t>(lengths_.size()); }
  int64_t num_tokens() const { return num_tokens_; }

 private:
  TokenFileWriter(std::filesystem::path prefix, int64_t vocab_size,
                  std::unique_ptr<models::AtomicFile> bin);
  absl::Status Flush();

  const std::filesystem::path prefix_;
  const int64_t vocab_size_;
  const int64_t token_bytes_;
  std::unique_ptr<models::AtomicFile> bin_;
  std::string buffer_;
  int64_t written_ = 0;  // bytes of .bin that left the buffer
  int64_t num_tokens_ = 0;
  std::vector<int32_t> lengths_;
};

// Memory-mapped. Immutable, thread-safe.
class TokenFile {
 public:
  // NotFound: a file is absent. DataLoss names the file and the field that does not fit: magic,
  // version, dtype, sizes, an offset or a document start out of order or out of bounds.
  static absl::StatusOr<TokenFile> Open(const std::filesystem::path& prefix);

  int64_t num_documents() const { return static_cast<int64_t>(offsets_.size()) - 1; }
  int64_t num_tokens() const { return offsets_.back(); }
  int64_t length(int64_t document) const { return offsets_[document + 1] - offsets_[document]; }

  // Appends tokens [begin, begin + count) of a document to `out`. The range must lie within it.
  void Append(int64_t document, int64_t begin, int64_t count, std::vector<int64_t>& out) const;

 private:
  class Mapping;
  TokenFile() = default;

  std::shared_ptr<const Mapping> bin_;
  int64_t token_bytes_ = 0;
  std::vector<int64_t> offsets_;  // [documents + 1], in tokens
};

}  // namespace oneai::platform
