#include "serving/scheduler/block_hash.h"

#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace oneai::serving {
namespace {

constexpr HashKey kKey = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

// The first vectors of the reference implementation: key 00 01 ... 0f, input of n bytes 00 01 ....
TEST(BlockHashTest, EqualsTheReferenceVectors) {
  EXPECT_EQ(SipHash128(kKey, ""), (BlockHash{0xe6a825ba047f81a3, 0x930255c71472f66d}));
  EXPECT_EQ(SipHash128(kKey, std::string(1, '\0')),
            (BlockHash{0x44af996bd8c187da, 0x45fc229b11597634}));
}

TEST(BlockHashTest, EveryPartOfTheScopeCounts) {
  const std::vector<PrefixScope> scopes = {{"", "", -1, 0},  {"a", "", -1, 0}, {"", "a", -1, 0},
                                           {"", "", 0, 0},   {"", "", -1, 1},  {"ab", "", -1, 0},
                                           {"a", "b", -1, 0}};
  std::set<std::pair<uint64_t, uint64_t>> names;
  for (const PrefixScope& scope : scopes) {
    const BlockHash hash = HashScope(kKey, scope);
    names.insert({hash.low, hash.high});
  }
  EXPECT_EQ(names.size(), scopes.size());
  EXPECT_FALSE(HashScope(kKey, scopes[0]) == HashScope({1, 2}, scopes[0]));
}

TEST(BlockHashTest, TheParentCounts) {
  const std::vector<int32_t> tokens = {1, 2, 3, 4};
  const BlockHash first = HashBlock(kKey, {}, tokens);
  EXPECT_EQ(first, HashBlock(kKey, {}, tokens));
  EXPECT_FALSE(first == HashBlock(kKey, first, tokens));
}

}  // namespace
}  // namespace oneai::serving
