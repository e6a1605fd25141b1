#include "kernels/thread_pool/shared_pages.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace oneai::kernels {
namespace {

TEST(SharedPagesTest, PiecesAreAlignedZerosApartFromEachOther) {
  SharedPages pages;
  std::vector<SharedPages::Piece> pieces;
  for (const size_t bytes : {0, 1, 64, 5000, 3 << 20, 40 << 20, 100 << 20, 7}) {
    pieces.push_back(pages.Allocate(bytes));
    std::byte* const p = pieces.back().get();
    ASSERT_NE(p, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % 64, 0u);
    EXPECT_TRUE(std::all_of(p, p + bytes, [](std::byte b) { return b == std::byte{0}; }));
    std::memset(p, 1, bytes);
  }
}

TEST(SharedPagesTest, PiecesKeepTheirBytesWhenNeighboursAndOwnerGo) {
  SharedPages::Piece middle;
  {
    SharedPages pages;
    const SharedPages::Piece before = pages.Allocate(10000);
    middle = pages.Allocate(10000);
    const SharedPages::Piece after = pages.Allocate(10000);
    std::memset(before.get(), 1, 10000);
    std::memset(middle.get(), 2, 10000);
    std::memset(after.get(), 3, 10000);
  }
  EXPECT_TRUE(std::all_of(middle.get(), middle.get() + 10000,
                          [](std::byte b) { return b == std::byte{2}; }));
}

}  // namespace
}  // namespace oneai::kernels
