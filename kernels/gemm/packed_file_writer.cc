#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "base/status.h"
#include "kernels/gemm/packed_file_format.h"

namespace oneai::kernels {

absl::StatusOr<PackedFileWriter> PackedFileWriter::Create(const std::string& path) {
  // A name that nobody has: two writers in namespaces of their own may have the same pid.
  std::string temporary = absl::StrCat(path, ".tmp.XXXXXX");
  const int fd = mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("create packed file ", temporary));
  PackedFileWriter writer(path, std::move(temporary), fd);
  PackedFileStart start{};
  std::memcpy(start.magic, kPackedFileMagic, sizeof(start.magic));
  start.file_version = kPackedFileVersion;
  start.layout_version = PackedLayout::kVersion;
  RETURN_IF_ERROR(writer.Write({reinterpret_cast<const std::byte*>(&start), sizeof(start)}));
  return writer;
}

PackedFileWriter::PackedFileWriter(PackedFileWriter&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      fd_(std::exchange(other.fd_, -1)),
      size_(other.size_),
      entries_(std::move(other.entries_)),
      names_(std::move(other.names_)) {}

PackedFileWriter::~PackedFileWriter() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_.c_str());
}

absl::Status PackedFileWriter::Write(absl::Span<const std::byte> bytes) {
  if (fd_ < 0) return absl::FailedPreconditionError("packed file is finished");
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, absl::StrCat("write packed file ", temporary_));
    bytes.remove_prefix(static_cast<size_t>(written));
    size_ += written;
  }
  return absl::OkStatus();
}

absl::Status PackedFileWriter::PadTo(int64_t alignment) {
  static constexpr std::byte kZeros[kPackedFileAlignment] = {};
  const int64_t rest = size_ % alignment;
  if (rest == 0) return absl::OkStatus();
  return Write({kZeros, static_cast<size_t>(alignment - rest)});
}

absl::Status PackedFileWriter::Append(PackedFileEntry entry, absl::Span<const std::byte> payload) {
  if (entry.name.empty() || static_cast<int64_t>(entry.name.size()) > kPackedFileNameMax ||
      !names_.insert(entry.name).second) {
    return absl::InvalidArgumentError(absl::StrCat("packed file: name '", entry.name,
                                                   "' is empty, too long or in the file already"));
  }
  RETURN_IF_ERROR(PadTo(kPackedFileAlignment));
  entry.begin = size_;
  entry.bytes = static_cast<int64_t>(payload.size());
  entry.checksum = Checksum64(payload);
  RETURN_IF_ERROR(Write(payload));
  entries_.push_back(std::move(entry));
  return absl::OkStatus();
}

absl::Status PackedFileWriter::Add(absl::string_view name, const PackedMatrix& matrix) {
  return Append({.name = std::string(name), .is_matrix = true, .header = matrix.header()},
                matrix.payload());
}

absl::Status PackedFileWriter::AddBytes(absl::string_view name, absl::Span<const std::byte> bytes) {
  return Append({.name = std::string(name)}, bytes);
}

absl::Status PackedFileWriter::Finish() {
  RETURN_IF_ERROR(PadTo(kPackedFileAlignment));
  std::string table;
  for (const PackedFileEntry& entry : entries_) {
    const PackedFileRecord record{.name_bytes = static_cast<uint32_t>(entry.name.size()),
                                  .is_matrix = entry.is_matrix ? 1u : 0u,
                                  .header = entry.header,
                                  .begin = entry.begin,
                                  .bytes = entry.bytes,
                                  .checksum = entry.checksum};
    table.append(reinterpret_cast<const char*>(&record), sizeof(record));
    table.append(entry.name);
  }
  const absl::Span<const std::byte> table_bytes(reinterpret_cast<const std::byte*>(table.data()),
                                                table.size());
  PackedFileTrailer trailer{.file_version = kPackedFileVersion,
                            .layout_version = PackedLayout::kVersion,
                            .table_begin = size_,
                            .table_bytes = static_cast<int64_t>(table.size()),
                            .num_entries = static_cast<int64_t>(entries_.size())};
  std::memcpy(trailer.magic, kPackedFileMagic, sizeof(trailer.magic));
  trailer.checksum = TableChecksum(table_bytes, trailer);
  RETURN_IF_ERROR(Write(table_bytes));
  RETURN_IF_ERROR(Write({reinterpret_cast<const std::byte*>(&trailer), sizeof(trailer)}));
  if (fsync(fd_) != 0) return ErrnoStatus(errno, absl::StrCat("sync ", temporary_));
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("rename ", temporary_, " to ", path_));
  }
  close(std::exchange(fd_, -1));
  const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  return SyncDirectory(folder.empty() ? std::filesystem::path(".") : folder);
}

}  // namespace oneai::kernels
