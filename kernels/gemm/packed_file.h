// A file of packed matrices that a second start maps instead of packing again.
//
// A cache, not an interchange format: it belongs to one build's layout and one machine's byte
// order, and is thrown away when either changes. Little-endian:
//
//   offset 0     magic "oneaipak", file version, layout version; zeros up to
//   offset 4096  payloads, each at a multiple of 4096, in the order in which they were added
//   then         the table: per entry its name, header, place, size and checksum
//   last 48      trailer: magic, versions, place and size of the table, number of entries, and a
//                checksum of table and trailer, so that a file without its end is recognised
//
// The writer streams: it holds one matrix at a time, and the file appears under its name only when
// it is whole (written beside, synced, renamed).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/gemm/packed_matrix.h"

namespace oneai::kernels {

inline constexpr int64_t kPackedFileAlignment = 4096;

// One stored object: a matrix, or bytes that the caller understands (biases, norms, a fingerprint
// of the checkpoint).
struct PackedFileEntry {
  std::string name;
  bool is_matrix = false;
  PackedHeader header;  // matrices
  int64_t begin = 0;    // of the payload, a multiple of kPackedFileAlignment
  int64_t bytes = 0;
  uint64_t checksum = 0;  // of the payload, see Checksum64()
};

// A 64-bit checksum against torn and rotten files (not against forgers), at memory speed.
uint64_t Checksum64(absl::Span<const std::byte> bytes);

// Writes one file. Not thread-safe.
class PackedFileWriter {
 public:
  // Opens `path` + ".tmp." and a random end, mode 0600. kUnavailable or as errno says: it cannot be written.
  static absl::StatusOr<PackedFileWriter> Create(const std::string& path);
  PackedFileWriter(PackedFileWriter&& other) noexcept;
  PackedFileWriter& operator=(PackedFileWriter&&) = delete;
  // Removes the temporary file unless Finish() succeeded.
  ~PackedFileWriter();

  // Appends a matrix (or bytes) under `name`, unique in the file, at most 4096 bytes long.
  absl::Status Add(absl::string_view name, const PackedMatrix& matrix);
  absl::Status AddBytes(absl::string_view name, absl::Span<const std::byte> bytes);

  // Writes the table, syncs and renames. After an error the file of that name is as it was before.
  absl::Status Finish();

 private:
  PackedFileWriter(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}
  absl::Status Append(PackedFileEntry entry, absl::Span<const std::byte> payload);
  absl::Status Write(absl::Span<const std::byte> bytes);
  absl::Status PadTo(int64_t alignment);

  std::string path_, temporary_;
  int fd_ = -1;
  int64_t size_ = 0;
  std::vector<PackedFileEntry> entries_;
  absl::flat_hash_set<std::string> names_;
};

// The table of a file image. Every length is checked against the image before it is used.
// kFailedPrecondition: another file or layout version. kDataLoss: anything else that is wrong.
absl::StatusOr<std::vector<PackedFileEntry>> ParsePackedFile(absl::Span<const std::byte> file);

// A mapped file. Thread-safe after Open(). Matrices from it borrow its memory and must not outlive
// it.
class PackedFile {
 public:
  // Maps and checks the table (not the payloads: a start reads only what it needs). kNotFound: no
  // such file. Else as ParsePackedFile().
  static absl::StatusOr<PackedFile> Open(const std::string& path);

  absl::Span<const PackedFileEntry> entries() const { return entries_; }
  bool Contains(absl::string_view name) const { return names_.contains(name); }
  // The matrix `name`, in place. kNotFound: none. kInvalidArgument: bytes, or as
  // PackedMatrix::FromMapped().
  absl::StatusOr<PackedMatrix> Matrix(absl::string_view name) const;
  absl::StatusOr<absl::Span<const std::byte>> Bytes(absl::string_view name) const;
  // Reads everything and compares checksums. kDataLoss names the first entry that differs.
  absl::Status Verify() const;

 private:
  struct Unmap {
    size_t bytes;
    void operator()(const std::byte* p) const;
  };
  absl::StatusOr<const PackedFileEntry*> Find(absl::string_view name) const;
  absl::Span<const std::byte> PayloadOf(const PackedFileEntry& entry) const;

  std::unique_ptr<const std::byte[], Unmap> data_;
  std::vector<PackedFileEntry> entries_;
  absl::flat_hash_map<std::string, size_t> names_;
};

}  // namespace oneai::kernels
