#include "serving/scheduler/block_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"

namespace oneai::serving {
namespace {

// Reads or writes all of `size` bytes at `offset`; false with errno otherwise (0: end of file).
template <typename Call, typename Pointer>
bool Transfer(Call call, int file, Pointer data, int64_t size, int64_t offset) {
  while (size > 0) {
    const ssize_t done = call(file, data, static_cast<size_t>(size), offset);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) {
      if (done == 0) errno = 0;
      return false;
    }
    data += done;
    size -= done;
    offset += done;
  }
  return true;
}

BlockHash Checksum(const HashKey& key, absl::Span<const std::byte> block) {
  return SipHash128(key, {reinterpret_cast<const char*>(block.data()), block.size()});
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlockFile>> BlockFile::Create(const std::filesystem::path& folder,
                                                             int64_t block_bytes,
                                                             int64_t bytes_max) {
  const int64_t num_slots = block_bytes > 0 ? bytes_max / block_bytes : 0;
  if (num_slots < 1) {
    return absl::InvalidArgumentError(absl::StrCat("the prefix cache's file may have ", bytes_max,
                                                   " bytes; one block takes ", block_bytes));
  }
  std::string name = (folder / "oneai-prefix-cache-XXXXXX").string();
  const int file = mkostemp(name.data(), O_CLOEXEC);
  if (file < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot create a file in ", folder.string()));
  }
  unlink(name.c_str());
  return std::unique_ptr<BlockFile>(new BlockFile(file, block_bytes, num_slots));
}

BlockFile::BlockFile(int file, int64_t block_bytes, int64_t num_slots)
    : file_(file), block_bytes_(block_bytes), checksum_key_(RandomHashKey()) {
  for (int64_t slot = num_slots; slot-- > 0;) free_slots_.push_back(slot);
}

BlockFile::~BlockFile() {
  if (file_ >= 0) close(file_);
}

void BlockFile::Close(const char* what) {
  Log::Warning("prefix cache goes on without its file",
               {{"failed", what}, {"error", std::strerror(errno)}});
  close(file_);
  file_ = -1;
  entries_.clear();
  ages_.clear();
}

void BlockFile::Forget(const BlockHash& hash) {
  const auto it = entries_.find(hash);
  free_slots_.push_back(it->second.slot);
  ages_.erase(it->second.age);
  entries_.erase(it);
}

void BlockFile::Put(const BlockHash& hash, absl::Span<const std::byte> block) {
  if (!is_open() || static_cast<int64_t>(block.size()) != block_bytes_) return;
  const auto known = entries_.find(hash);
  if (known != entries_.end()) {
    ages_.splice(ages_.end(), ages_, known->second.age);
    return;
  }
  if (free_slots_.empty()) Forget(BlockHash(ages_.front()));
  const int64_t slot = free_slots_.back();
  if (!Transfer(pwrite, file_, block.data(), block_bytes_, slot * block_bytes_)) {
    Close("write");
    return;
  }
  free_slots_.pop_back();
  entries_[hash] = {slot, Checksum(checksum_key_, block), ages_.insert(ages_.end(), hash)};
}

bool BlockFile::Get(const BlockHash& hash, absl::Span<std::byte> block) {
  const auto it = entries_.find(hash);
  if (it == entries_.end() || static_cast<int64_t>(block.size()) != block_bytes_) return false;
  if (!Transfer(pread, file_, block.data(), block_bytes_, it->second.slot * block_bytes_) ||
      !(Checksum(checksum_key_, block) == it->second.checksum)) {
    Log::Warning("block in the prefix cache's file is damaged", {{"slot", it->second.slot}});
    Forget(hash);
    return false;
  }
  ages_.splice(ages_.end(), ages_, it->second.age);
  return true;
}

}  // namespace oneai::serving
