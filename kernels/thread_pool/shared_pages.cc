#include "kernels/thread_pool/shared_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace oneai::kernels {
namespace {

constexpr size_t kAlignment = 64, kPage = 4096, kHugePage = size_t{2} << 20;
// Address space, not memory: pages come as they are written.
constexpr size_t kRegionBytes = size_t{64} << 20;

size_t RoundUp(size_t x, size_t multiple) { return (x + multiple - 1) / multiple * multiple; }

}  // namespace

class SharedPages::Region {
 public:
  static std::shared_ptr<Region> Map(size_t bytes) {
    // One huge page more, so that the first can begin where one may lie.
    const size_t mapped = bytes + kHugePage;
    void* memory =
        mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    return std::make_shared<Region>(static_cast<std::byte*>(memory), mapped, bytes);
  }

  Region(std::byte* memory, size_t mapped, size_t bytes)
      : memory_(memory), mapped_(mapped), bytes_(bytes) {
    begin_ = memory + RoundUp(reinterpret_cast<uintptr_t>(memory), kHugePage) -
             reinterpret_cast<uintptr_t>(memory);
    madvise(begin_, bytes, MADV_HUGEPAGE);  // refused: slower, not wrong
  }
  ~Region() { munmap(memory_, mapped_); }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // Null: no room. Pieces are never handed out twice, so they are zeros.
  std::byte* Take(size_t bytes) {
    if (bytes > bytes_ - used_) return nullptr;
    std::byte* const piece = begin_ + used_;
    used_ += bytes;
    return piece;
  }

 private:
  std::byte* const memory_;
  const size_t mapped_, bytes_;
  std::byte* begin_;
  size_t used_ = 0;
};

SharedPages::Piece SharedPages::Allocate(size_t bytes) {
  bytes = RoundUp(std::max<size_t>(bytes, 1), kAlignment);
  std::shared_ptr<Region> region = region_;
  std::byte* piece = region != nullptr ? region->Take(bytes) : nullptr;
  if (piece == nullptr) {
    region = Region::Map(RoundUp(std::max(bytes, kRegionBytes), kHugePage));
    if (region == nullptr) return nullptr;
    piece = region->Take(bytes);
    if (bytes < kRegionBytes / 2) region_ = region;  // a large piece leaves the old one its room
  }
  return {piece, [region = std::move(region), bytes](std::byte* p) {
            const uintptr_t begin = RoundUp(reinterpret_cast<uintptr_t>(p), kPage);
            const uintptr_t end = (reinterpret_cast<uintptr_t>(p) + bytes) / kPage * kPage;
            if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
          }};
}

}  // namespace oneai::kernels
