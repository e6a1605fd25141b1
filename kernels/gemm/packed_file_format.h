// The bytes that writer and reader of a packed file share. Inside kernels/gemm only.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "kernels/gemm/packed_file.h"

namespace oneai::kernels {

inline constexpr char kPackedFileMagic[8] = {'o', 'n', 'e', 'a', 'i', 'p', 'a', 'k'};
inline constexpr uint32_t kPackedFileVersion = 1;
inline constexpr int64_t kPackedFileNameMax = 4096;

// First bytes of the file.
struct PackedFileStart {
  char magic[8];
  uint32_t file_version;
  uint32_t layout_version;
};
static_assert(sizeof(PackedFileStart) == 16);

// Last bytes of the file. `checksum` covers the table and this struct with checksum = 0.
struct PackedFileTrailer {
  char magic[8];
  uint32_t file_version;
  uint32_t layout_version;
  int64_t table_begin;
  int64_t table_bytes;
  int64_t num_entries;
  uint64_t checksum;
};
static_assert(sizeof(PackedFileTrailer) == 48);

// One entry of the table; `name_bytes` bytes of name follow.
struct PackedFileRecord {
  uint32_t name_bytes;
  uint32_t is_matrix;
  PackedHeader header;
  int64_t begin;
  int64_t bytes;
  uint64_t checksum;
};
static_assert(sizeof(PackedHeader) == 48 && sizeof(PackedFileRecord) == 80);

// The trailer's checksum.
inline uint64_t TableChecksum(absl::Span<const std::byte> table, PackedFileTrailer trailer) {
  trailer.checksum = 0;
  const auto* bytes = reinterpret_cast<const std::byte*>(&trailer);
  return Checksum64(table) ^ Checksum64({bytes, sizeof(trailer)}) * 3;
}

}  // namespace oneai::kernels
