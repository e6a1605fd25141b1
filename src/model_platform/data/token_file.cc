#include "model_platform/data/token_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <limits>

#include "base/files/files.h"
#include "base/status.h"

namespace oneai::platform {
namespace {

constexpr absl::string_view kMagic("MMIDIDX\0\0", 9);
constexpr uint64_t kVersion = 1;
constexpr uint8_t kInt32 = 4, kUint16 = 8;
constexpr size_t kHeaderBytes = 9 + 8 + 1 + 8 + 8;
constexpr int64_t kIndexBytesMax = int64_t{8} << 30;
constexpr size_t kFlushBytes = 4 << 20;

std::filesystem::path WithSuffix(const std::filesystem::path& prefix, const char* suffix) {
  return prefix.string() + suffix;
}

// The formats here are little-endian, as are all machines that oneai builds for.
template <typename T>
void Put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <typename T>
T Get(absl::string_view bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

absl::Span<const std::byte> Bytes(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

struct Index {
  int64_t token_bytes;
  std::vector<int64_t> offsets;  // in tokens
};

absl::StatusOr<Index> ParseIndex(absl::string_view idx, const std::string& path,
                                 int64_t bin_bytes) {
  auto bad = [&](absl::string_view what) {
    return absl::DataLossError(absl::StrCat(path, ": ", what));
  };
  if (idx.size() < kHeaderBytes || idx.substr(0, kMagic.size()) != kMagic) {
    return bad("not a Megatron index (wrong magic or truncated)");
  }
  if (Get<uint64_t>(idx, 9) != kVersion) return bad("version is not 1");
  const uint8_t dtype = idx[17];
  if (dtype != kInt32 && dtype != kUint16) {
    return bad(absl::StrCat("dtype code ", int{dtype}, " is neither 4 (int32) nor 8 (uint16)"));
  }
  const int64_t token_bytes = dtype == kInt32 ? 4 : 2;
  const uint64_t sequences = Get<uint64_t>(idx, 18), starts = Get<uint64_t>(idx, 26);
  // Checked by division first: counts from a file may overflow the product.
  if (sequences > idx.size() / 12 || starts > idx.size() / 8 ||
      idx.size() != kHeaderBytes + sequences * 12 + starts * 8) {
    return bad("its size does not fit its counts (truncated or corrupt)");
  }
  if (starts == 0) return bad("no document starts");
  const size_t lengths_at = kHeaderBytes, offsets_at = lengths_at + 4 * sequences,
               starts_at = offsets_at + 8 * sequences;
  std::vector<int64_t> sequence_offsets = {0};
  for (uint64_t i = 0; i < sequences; ++i) {
    const int32_t length = Get<int32_t>(idx, lengths_at + 4 * i);
    if (length < 0) return bad(absl::StrCat("sequence ", i, " has a negative length"));
    if (Get<int64_t>(idx, offsets_at + 8 * i) != sequence_offsets.back() * token_bytes) {
      return bad(absl::StrCat("sequence ", i, " does not begin where the one before ends"));
    }
    sequence_offsets.push_back(sequence_offsets.back() + length);
  }
  if (sequence_offsets.back() * token_bytes != bin_bytes) {
    return bad(absl::StrCat("it describes ", sequence_offsets.back() * token_bytes,
                            " bytes of tokens, .bin has ", bin_bytes));
  }
  Index index{token_bytes, {}};
  int64_t previous = 0;
  for (uint64_t i = 0; i < starts; ++i) {
    const int64_t start = Get<int64_t>(idx, starts_at + 8 * i);
    if (start < previous || start > static_cast<int64_t>(sequences) || (i == 0 && start != 0)) {
      return bad(absl::StrCat("document start ", i, " is out of order"));
    }
    index.offsets.push_back(sequence_offsets[start]);
    previous = start;
  }
  if (previous != static_cast<int64_t>(sequences))
    return bad("documents do not cover all sequences");
  return index;
}

}  // namespace

TokenFileWriter::TokenFileWriter(std::filesystem::path prefix, int64_t vocab_size,
                                 std::unique_ptr<models::AtomicFile> bin)
    : prefix_(std::move(prefix)),
      vocab_size_(vocab_size),
      token_bytes_(vocab_size < kUint16VocabLimit ? 2 : 4),
      bin_(std::move(bin)) {}

absl::StatusOr<std::unique_ptr<TokenFileWriter>> TokenFileWriter::Create(
    std::filesystem::path prefix, int64_t vocab_size) {
  ASSIGN_OR_RETURN(auto bin, models::AtomicFile::Create(WithSuffix(prefix, ".bin")));
  return std::unique_ptr<TokenFileWriter>(
      new TokenFileWriter(std::move(prefix), vocab_size, std::move(bin)));
}

absl::Status TokenFileWriter::Add(absl::Span<const int32_t> document) {
  if (document.empty() || document.size() > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat(prefix_.string(), ": a document of ", document.size(), " tokens"));
  }
  for (const int32_t id : document) {
    if (id < 0 || id >= vocab_size_) {
      return absl::InvalidArgumentError(
          absl::StrCat(prefix_.string(), ": token id ", id, " outside of [0, ", vocab_size_, ")"));
    }
    if (token_bytes_ == 2) {
      Put(buffer_, static_cast<uint16_t>(id));
    } else {
      Put(buffer_, id);
    }
  }
  lengths_.push_back(static_cast<int32_t>(document.size()));
  num_tokens_ += static_cast<int64_t>(document.size());
  return buffer_.size() >= kFlushBytes ? Flush() : absl::OkStatus();
}

absl::Status TokenFileWriter::Flush() {
  RETURN_IF_ERROR(bin_->WriteAt(written_, Bytes(buffer_)));
  written_ += static_cast<int64_t>(buffer_.size());
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status TokenFileWriter::Finish() {
  if (!buffer_.empty()) RETURN_IF_ERROR(Flush());
  RETURN_IF_ERROR(bin_->Commit());
  std::string idx(kMagic);
  Put(idx, kVersion);
  Put(idx, token_bytes_ == 2 ? kUint16 : kInt32);
  Put(idx, static_cast<uint64_t>(lengths_.size()));
  Put(idx, static_cast<uint64_t>(lengths_.size() + 1));
  for (const int32_t length : lengths_) Put(idx, length);
  int64_t offset = 0;
  for (const int32_t length : lengths_) {
    Put(idx, offset);
    offset += length * token_bytes_;
  }
  for (size_t i = 0; i <= lengths_.size(); ++i) Put(idx, static_cast<int64_t>(i));
  return models::WriteFileAtomically(WithSuffix(prefix_, ".idx"), idx);
}

class TokenFile::Mapping {
 public:
  static absl::StatusOr<std::shared_ptr<const Mapping>> Open(const std::filesystem::path& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ErrnoStatus(errno, absl::StrCat("opening ", path.string()));
    struct stat info;
    absl::Status status;
    void* data = nullptr;
    if (fstat(fd, &info) != 0) {
      status = ErrnoStatus(errno, absl::StrCat("reading the size of ", path.string()));
    } else if (info.st_size > 0) {  // an empty file cannot be mapped
      data = mmap(nullptr, info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
      if (data == MAP_FAILED) status = ErrnoStatus(errno, absl::StrCat("mapping ", path.string()));
    }
    close(fd);
    if (!status.ok()) return status;
    return std::shared_ptr<const Mapping>(
        new Mapping(static_cast<const char*>(data), data == nullptr ? 0 : info.st_size));
  }
  ~Mapping() {
    if (data_ != nullptr) munmap(const_cast<char*>(data_), size_);
  }
  const char* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  Mapping(const char* data, int64_t size) : data_(data), size_(size) {}
  const char* const data_;
  const int64_t size_;
};

absl::StatusOr<TokenFile> TokenFile::Open(const std::filesystem::path& prefix) {
  TokenFile file;
  ASSIGN_OR_RETURN(file.bin_, Mapping::Open(WithSuffix(prefix, ".bin")));
  const std::filesystem::path idx_path = WithSuffix(prefix, ".idx");
  ASSIGN_OR_RETURN(const std::string idx, ReadFile(idx_path, kIndexBytesMax));
  ASSIGN_OR_RETURN(Index index, ParseIndex(idx, idx_path.string(), file.bin_->size()));
  file.token_bytes_ = index.token_bytes;
  file.offsets_ = std::move(index.offsets);
  return file;
}

void TokenFile::Append(int64_t document, int64_t begin, int64_t count,
                       std::vector<int64_t>& out) const {
  const char* at = bin_->data() + (offsets_[document] + begin) * token_bytes_;
  for (int64_t i = 0; i < count; ++i, at += token_bytes_) {
    if (token_bytes_ == 2) {
      uint16_t id;
      std::memcpy(&id, at, sizeof(id));
      out.push_back(id);
    } else {
      int32_t id;
      std::memcpy(&id, at, sizeof(id));
      out.push_back(id);
    }
  }
}

}  // namespace oneai::platform
