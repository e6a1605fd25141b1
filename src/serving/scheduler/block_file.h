// File: serving/scheduler/block_file.h
//
// The second tier of the prefix cache: blocks that had to leave memory, in a file of bounded size.
// It is a cache of a cache: whatever goes wrong with it costs time and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "serving/scheduler/block_hash.h"

namespace oneai::serving {

// Thread-compatible.
class BlockFile {
 public:
  // Makes a file without a name in `folder`, which is gone when this is: blocks are named under a
  // key that lives no longer. kInvalidArgument: not one block fits `bytes_max`. Otherwise as the
  // system's error (no such folder, no permission).
  static absl::StatusOr<std::unique_ptr<BlockFile>> Create(const std::filesystem::path& folder,
                                                           int64_t block_bytes, int64_t bytes_max);
  ~BlockFile();
  BlockFile(const BlockFile&) = delete;
  BlockFile& operator=(const BlockFile&) = delete;

  // Keeps a block, dropping the one used longest ago when the file is full. A write that fails (the
  // disk is full) closes the file, with a line in the log: from then on it knows nothing.
  void Put(const BlockHash& hash, absl::Span<const std::byte> block);
  bool Knows(const BlockHash& hash) const { return entries_.contains(hash); }
  // Reads a block. False, and the block is forgotten: it is not there, cannot be read, or is not
  // what was written (a 128-bit checksum).
  bool Get(const BlockHash& hash, absl::Span<std::byte> block);

  int64_t num_blocks() const { return static_cast<int64_t>(entries_.size()); }
  bool is_open() const { return file_ >= 0; }

 private:
  struct Entry {
    int64_t slot;
    BlockHash checksum;
    std::list<BlockHash>::iterator age;
  };
  BlockFile(int file, int64_t block_bytes, int64_t num_slots);
  void Close(const char* what);
  void Forget(const BlockHash& hash);

  int file_;  // -1: closed
  const int64_t block_bytes_;
  const HashKey checksum_key_;
  std::vector<int64_t> free_slots_;
  std::list<BlockHash> ages_;  // used longest ago first
  absl::flat_hash_map<BlockHash, Entry> entries_;
};

}  // namespace oneai::serving
