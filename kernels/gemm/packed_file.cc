#include "kernels/gemm/packed_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "base/status.h"
#include "kernels/gemm/packed_file_format.h"

namespace oneai::kernels {
namespace {

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat("packed file ", what, ": delete it, it is made again from the checkpoint"));
}

template <typename T>
T ReadAs(absl::Span<const std::byte> from) {
  T value;
  std::memcpy(&value, from.data(), sizeof(T));
  return value;
}

absl::Status CheckVersions(const char* magic, uint32_t file_version, uint32_t layout_version) {
  if (std::memcmp(magic, kPackedFileMagic, sizeof(kPackedFileMagic)) != 0) {
    return Damaged("does not begin and end as one");
  }
  if (file_version != kPackedFileVersion || layout_version != PackedLayout::kVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("packed file has version ", file_version, " and layout ", layout_version,
                     ", this build has ", kPackedFileVersion, " and ", PackedLayout::kVersion,
                     ": delete it, it is made again from the checkpoint"));
  }
  return absl::OkStatus();
}

// Checks one record against the payload area [kPackedFileAlignment, payloads_end).
absl::Status CheckRecord(const PackedFileRecord& record, int64_t payloads_end) {
  if (record.is_matrix > 1 || record.begin < kPackedFileAlignment ||
      record.begin % kPackedFileAlignment != 0 || record.begin > payloads_end || record.bytes < 0 ||
      record.bytes > payloads_end - record.begin) {
    return Damaged("has an entry outside of its payloads");
  }
  if (record.is_matrix == 0) return absl::OkStatus();
  const absl::StatusOr<int64_t> bytes = PackedMatrix::PayloadBytes(record.header);
  if (absl::IsFailedPrecondition(bytes.status())) return bytes.status();
  if (!bytes.ok() || *bytes != record.bytes) {
    return Damaged("has a matrix whose size is not that of its shape");
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t Checksum64(absl::Span<const std::byte> bytes) {
  // Four independent multiply-and-shift chains; the finaliser is that of MurmurHash3.
  constexpr uint64_t kPrime = 0x9e3779b97f4a7c15u;
  uint64_t lanes[4] = {1, 2, 3, 4};
  const auto mix = [](uint64_t lane, uint64_t word) {
    lane = (lane ^ word) * kPrime;
    return lane ^ lane >> 29;
  };
  size_t i = 0;
  for (; i + 32 <= bytes.size(); i += 32) {
    uint64_t words[4];
    std::memcpy(words, bytes.data() + i, 32);
    for (int lane = 0; lane < 4; ++lane) lanes[lane] = mix(lanes[lane], words[lane]);
  }
  uint64_t hash = bytes.size();
  for (const uint64_t lane : lanes) hash = mix(hash, lane);
  for (; i < bytes.size(); ++i) hash = mix(hash, static_cast<uint64_t>(bytes[i]));
  hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdu;
  hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53u;
  return hash ^ hash >> 33;
}

absl::StatusOr<std::vector<PackedFileEntry>> ParsePackedFile(absl::Span<const std::byte> file) {
  const auto size = static_cast<int64_t>(file.size());
  constexpr auto kTrailerBytes = static_cast<int64_t>(sizeof(PackedFileTrailer));
  if (size < static_cast<int64_t>(sizeof(PackedFileStart)) + kTrailerBytes) {
    return Damaged("is too short");
  }
  const auto start = ReadAs<PackedFileStart>(file);
  RETURN_IF_ERROR(CheckVersions(start.magic, start.file_version, start.layout_version));
  const auto trailer = ReadAs<PackedFileTrailer>(file.subspan(size - kTrailerBytes));
  RETURN_IF_ERROR(CheckVersions(trailer.magic, trailer.file_version, trailer.layout_version));
  if (trailer.table_begin < kPackedFileAlignment || trailer.table_bytes < 0 ||
      trailer.table_begin > size - kTrailerBytes ||
      trailer.table_bytes != size - kTrailerBytes - trailer.table_begin) {
    return Damaged("has its table in the wrong place");
  }
  absl::Span<const std::byte> table = file.subspan(trailer.table_begin, trailer.table_bytes);
  if (TableChecksum(table, trailer) != trailer.checksum) return Damaged("has a damaged table");
  constexpr auto kRecordBytes = static_cast<int64_t>(sizeof(PackedFileRecord));
  if (trailer.num_entries < 0 || trailer.num_entries > trailer.table_bytes / kRecordBytes) {
    return Damaged("counts more entries than its table holds");
  }
  std::vector<PackedFileEntry> entries;
  entries.reserve(trailer.num_entries);
  for (int64_t i = 0; i < trailer.num_entries; ++i) {
    if (table.size() < sizeof(PackedFileRecord)) return Damaged("has a table that ends early");
    const auto record = ReadAs<PackedFileRecord>(table);
    table.remove_prefix(sizeof(PackedFileRecord));
    if (record.name_bytes == 0 || record.name_bytes > kPackedFileNameMax ||
        record.name_bytes > table.size()) {
      return Damaged("has a name of an impossible length");
    }
    RETURN_IF_ERROR(CheckRecord(record, trailer.table_begin));
    entries.push_back(
        {.name = std::string(reinterpret_cast<const char*>(table.data()), record.name_bytes),
         .is_matrix = record.is_matrix != 0,
         .header = record.header,
         .begin = record.begin,
         .bytes = record.bytes,
         .checksum = record.checksum});
    table.remove_prefix(record.name_bytes);
  }
  if (!table.empty()) return Damaged("has bytes after its table");
  return entries;
}

void PackedFile::Unmap::operator()(const std::byte* p) const {
  munmap(const_cast<std::byte*>(p), bytes);  // NOLINT: munmap takes void*
}

absl::StatusOr<PackedFile> PackedFile::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("open packed file ", path));
  struct stat info {};
  if (fstat(fd, &info) != 0 || info.st_size <= 0) {
    close(fd);
    return Damaged("is empty");
  }
  const auto bytes = static_cast<size_t>(info.st_size);
  void* memory = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  const int error = errno;
  close(fd);
  if (memory == MAP_FAILED) return ErrnoStatus(error, absl::StrCat("map packed file ", path));
  PackedFile file;
  file.data_ = {static_cast<const std::byte*>(memory), Unmap{bytes}};
  ASSIGN_OR_RETURN(file.entries_, ParsePackedFile({file.data_.get(), bytes}));
  for (size_t i = 0; i < file.entries_.size(); ++i) {
    if (!file.names_.emplace(file.entries_[i].name, i).second) {
      return Damaged(absl::StrCat("has '", file.entries_[i].name, "' twice"));
    }
  }
  // All of it is needed at once; the kernel may read ahead and use huge pages where it can.
  madvise(memory, bytes, MADV_WILLNEED);
  return file;
}

absl::StatusOr<const PackedFileEntry*> PackedFile::Find(absl::string_view name) const {
  const auto it = names_.find(name);
  if (it == names_.end()) {
    return absl::NotFoundError(absl::StrCat("packed file has no '", name, "'"));
  }
  return &entries_[it->second];
}

absl::Span<const std::byte> PackedFile::PayloadOf(const PackedFileEntry& entry) const {
  return {data_.get() + entry.begin, static_cast<size_t>(entry.bytes)};
}

absl::StatusOr<PackedMatrix> PackedFile::Matrix(absl::string_view name) const {
  ASSIGN_OR_RETURN(const PackedFileEntry* entry, Find(name));
  if (!entry->is_matrix) {
    return absl::InvalidArgumentError(absl::StrCat("'", name, "' in a packed file is no matrix"));
  }
  return PackedMatrix::FromMapped(entry->header, PayloadOf(*entry));
}

absl::StatusOr<absl::Span<const std::byte>> PackedFile::Bytes(absl::string_view name) const {
  ASSIGN_OR_RETURN(const PackedFileEntry* entry, Find(name));
  if (entry->is_matrix) {
    return absl::InvalidArgumentError(absl::StrCat("'", name, "' in a packed file is a matrix"));
  }
  return PayloadOf(*entry);
}

absl::Status PackedFile::Verify() const {
  for (const PackedFileEntry& entry : entries_) {
    if (Checksum64(PayloadOf(entry)) != entry.checksum) {
      return Damaged(absl::StrCat("has '", entry.name, "' with another checksum"));
    }
  }
  return absl::OkStatus();
}

}  // namespace oneai::kernels
