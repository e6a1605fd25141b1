// BlockPool as a prefix cache: by cases, and by long random games against a simple reference.
#include <list>
#include <map>
#include <random>
#include <set>

#include "gtest/gtest.h"
#include "serving/scheduler/block_pool.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

BlockHash Name(uint64_t n) { return {n, n * 31}; }

std::vector<BlockHash> Chain(uint64_t first, int64_t length) {
  std::vector<BlockHash> chain;
  for (int64_t i = 0; i < length; ++i) chain.push_back(Name(first + i));
  return chain;
}

void Fill(BlockPool& pool, SequenceId id, absl::Span<const BlockHash> chain) {
  ASSERT_OK(pool.Grow(id, static_cast<int64_t>(chain.size()) * pool.block_tokens()));
  for (size_t i = 0; i < chain.size(); ++i) pool.Publish(id, static_cast<int64_t>(i), chain[i]);
}

constexpr SequenceId kA{1}, kB{2}, kC{3};

TEST(PrefixCacheTest, ReleasedBlocksAreFoundAgain) {
  BlockPool pool(4, 4);
  const std::vector<BlockHash> chain = Chain(10, 3);
  Fill(pool, kA, chain);
  const std::vector<BlockId> blocks(pool.BlockTable(kA).begin(), pool.BlockTable(kA).end());
  EXPECT_EQ(pool.Release(kA), 3);
  EXPECT_EQ(pool.num_free(), 4);
  EXPECT_EQ(pool.Find(chain).num_blocks, 3);
  EXPECT_EQ(pool.Find(chain).num_held, 0);
  EXPECT_EQ(pool.Adopt(kB, chain), 3);
  EXPECT_EQ(std::vector<BlockId>(pool.BlockTable(kB).begin(), pool.BlockTable(kB).end()), blocks);
  EXPECT_EQ(pool.num_free(), 1);
  EXPECT_EQ(pool.Find(chain).num_held, 3);
}

TEST(PrefixCacheTest, TheEndOfTheOldestSequenceIsEvictedFirst) {
  BlockPool pool(4, 4);
  const std::vector<BlockHash> old = Chain(10, 2), young = Chain(20, 2);
  Fill(pool, kA, old);
  Fill(pool, kB, young);
  pool.Release(kA);
  pool.Release(kB);
  ASSERT_OK(pool.Grow(kC, 4));
  EXPECT_EQ(pool.Find(old).num_blocks, 1);
  ASSERT_OK(pool.Grow(kC, 12));
  EXPECT_EQ(pool.Find(old).num_blocks, 0);
  EXPECT_EQ(pool.Find(young).num_blocks, 1);
}

TEST(PrefixCacheTest, HeldBlocksAreNeverEvicted) {
  BlockPool pool(3, 4);
  const std::vector<BlockHash> chain = Chain(10, 2);
  Fill(pool, kA, chain);
  EXPECT_EQ(pool.Adopt(kB, chain), 2);
  EXPECT_EQ(pool.Release(kA), 0);
  EXPECT_EQ(pool.num_free(), 1);
  EXPECT_THAT(pool.Grow(kC, 8), testing::StatusIs(absl::StatusCode::kResourceExhausted,
                                                  ::testing::HasSubstr("free")));
  EXPECT_EQ(pool.Find(chain).num_blocks, 2);
}

TEST(PrefixCacheTest, EqualBlocksComputedTwiceBecomeOne) {
  BlockPool pool(4, 4);
  const std::vector<BlockHash> chain = Chain(10, 2);
  Fill(pool, kA, chain);
  ASSERT_OK(pool.Grow(kB, 8));
  EXPECT_EQ(pool.num_free(), 0);
  pool.Publish(kB, 0, chain[0]);
  pool.Publish(kB, 1, chain[1]);
  EXPECT_EQ(pool.num_free(), 2);
  EXPECT_EQ(pool.BlockTable(kA), pool.BlockTable(kB));
  EXPECT_EQ(pool.NumShared(kA), 2);
}

TEST(PrefixCacheTest, ForkSharesFullBlocksAndCopiesThePartialOne) {
  BlockPool pool(8, 4);
  ASSERT_OK(pool.Grow(kA, 10));
  ASSERT_OK_AND_ASSIGN(const std::optional<BlockCopy> copy, pool.Fork(kA, kB, 10));
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(copy->from, pool.BlockTable(kA)[2]);
  EXPECT_EQ(copy->to, pool.BlockTable(kB)[2]);
  EXPECT_EQ(pool.num_free(), 4);
  ASSERT_OK_AND_ASSIGN(const std::optional<BlockCopy> none, pool.Fork(kA, kC, 8));
  EXPECT_FALSE(none.has_value());
  EXPECT_EQ(pool.num_free(), 4);
  EXPECT_EQ(pool.Release(kA), 1);
}

TEST(PrefixCacheTest, ForkWithoutAFreeBlockChangesNothing) {
  BlockPool pool(2, 4);
  ASSERT_OK(pool.Grow(kA, 6));
  EXPECT_THAT(pool.Fork(kA, kB, 6), testing::StatusIs(absl::StatusCode::kResourceExhausted,
                                                      ::testing::HasSubstr("free")));
  EXPECT_TRUE(pool.BlockTable(kB).empty());
  EXPECT_EQ(pool.NumShared(kA), 0);
}

TEST(PrefixCacheTest, EvictionIsAnnouncedBeforeTheMemoryIsReused) {
  BlockPool pool(1, 4);
  std::vector<BlockHash> evicted;
  pool.OnEvict([&](BlockId, const BlockHash& hash) { evicted.push_back(hash); });
  Fill(pool, kA, Chain(10, 1));
  pool.Release(kA);
  EXPECT_TRUE(evicted.empty());
  ASSERT_OK(pool.Grow(kB, 1));
  EXPECT_EQ(evicted, Chain(10, 1));
}

// The same rules written as plainly as possible: holders are counted by looking at all tables.
class Reference {
 public:
  explicit Reference(int64_t num_blocks) : num_blocks_(num_blocks) {}

  int64_t NumFree() const {
    std::set<BlockId> held;
    for (const auto& [id, table] : tables) held.insert(table.begin(), table.end());
    return num_blocks_ - static_cast<int64_t>(held.size());
  }
  bool IsHeld(BlockId block) const {
    for (const auto& [id, table] : tables) {
      if (std::find(table.begin(), table.end(), block) != table.end()) return true;
    }
    return false;
  }
  // Blocks that become idle, in the order in which they do.
  void Release(SequenceId id) {
    std::vector<BlockId> table = std::move(tables.at(id));
    tables.erase(id);
    for (auto block = table.rbegin(); block != table.rend(); ++block) {
      if (!IsHeld(*block) && name_of.contains(*block)) idle.push_back(*block);
    }
  }
  // A new block came into a table: if it was idle, it must have been the oldest.
  void ExpectTaken(BlockId block) {
    if (!name_of.contains(block)) return;
    ASSERT_FALSE(idle.empty());
    ASSERT_EQ(idle.front(), block) << "not the block released longest ago";
    idle.pop_front();
    block_of.erase(name_of.at(block));
    name_of.erase(block);
  }

  std::map<SequenceId, std::vector<BlockId>> tables;
  std::list<BlockId> idle;  // oldest first
  std::map<BlockId, uint64_t> name_of;
  std::map<uint64_t, BlockId> block_of;

 private:
  const int64_t num_blocks_;
};

class Game {
 public:
  explicit Game(uint32_t seed)
      : random_(seed), num_blocks_(Draw(2, 24)), pool_(num_blocks_, 4), reference_(num_blocks_) {}

  void Play(int64_t num_steps) {
    for (int64_t step = 0; step < num_steps; ++step) {
      const SequenceId id{Draw(0, 7)};
      const bool known = reference_.tables.contains(id);
      const int64_t move = Draw(0, 9);
      if (!known) {
        ASSERT_NO_FATAL_FAILURE(move < 7 ? Start(id) : Fork(id));
      } else if (move < 3) {
        ASSERT_NO_FATAL_FAILURE(Grow(id));
      } else if (move < 7) {
        ASSERT_NO_FATAL_FAILURE(PublishNext(id));
      } else {
        reference_.Release(id);
        pool_.Release(id);
        chains_.erase(id);
      }
      ASSERT_NO_FATAL_FAILURE(Compare());
    }
  }

 private:
  int64_t Draw(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }
  // Chains share beginnings: block i of a chain is named by its first i + 1 digits.
  std::vector<uint64_t> RandomChain() {
    std::vector<uint64_t> chain;
    uint64_t name = 1;
    for (int i = 0; i < 8; ++i) chain.push_back(name = name * 4 + Draw(0, i < 2 ? 1 : 3));
    return chain;
  }
  static std::vector<BlockHash> Names(const std::vector<uint64_t>& chain) {
    std::vector<BlockHash> names;
    for (uint64_t name : chain) names.push_back(Name(name));
    return names;
  }

  void Start(SequenceId id) {
    chains_[id] = RandomChain();
    std::vector<BlockId> expected;
    for (uint64_t name : chains_[id]) {
      if (!reference_.block_of.contains(name)) break;
      expected.push_back(reference_.block_of.at(name));
    }
    ASSERT_EQ(pool_.Find(Names(chains_[id])).num_blocks, static_cast<int64_t>(expected.size()));
    ASSERT_EQ(pool_.Adopt(id, Names(chains_[id])), static_cast<int64_t>(expected.size()));
    if (expected.empty()) return;
    for (BlockId block : expected) reference_.idle.remove(block);
    reference_.tables[id] = expected;
  }

  void Grow(SequenceId id) {
    const std::vector<BlockId> before = reference_.tables[id];
    const int64_t num_tokens = Draw(1, 32);
    const int64_t missing =
        std::max<int64_t>(0, BlocksFor(num_tokens, 4) - static_cast<int64_t>(before.size()));
    const bool fits = missing <= reference_.NumFree();
    ASSERT_EQ(pool_.Grow(id, num_tokens).ok(), fits);
    const absl::Span<const BlockId> table = pool_.BlockTable(id);
    ASSERT_EQ(static_cast<int64_t>(table.size()),
              static_cast<int64_t>(before.size()) + (fits ? missing : 0));
    for (size_t i = before.size(); i < table.size(); ++i) {
      ASSERT_FALSE(reference_.IsHeld(table[i]));
      ASSERT_NO_FATAL_FAILURE(reference_.ExpectTaken(table[i]));
      reference_.tables[id].push_back(table[i]);
    }
  }

  void PublishNext(SequenceId id) {
    std::vector<BlockId>& table = reference_.tables.at(id);
    const std::vector<uint64_t>& chain = chains_.at(id);
    size_t i = 0;
    while (i < table.size() && i < chain.size() && reference_.name_of.contains(table[i])) ++i;
    if (i == table.size() || i == chain.size()) return;
    pool_.Publish(id, static_cast<int64_t>(i), Name(chain[i]));
    const auto known = reference_.block_of.find(chain[i]);
    if (known == reference_.block_of.end()) {
      reference_.name_of[table[i]] = chain[i];
      reference_.block_of[chain[i]] = table[i];
    } else {
      reference_.idle.remove(known->second);
      table[i] = known->second;
    }
  }

  void Fork(SequenceId child) {
    if (reference_.tables.empty()) return;
    auto parent = reference_.tables.begin();
    std::advance(parent, Draw(0, static_cast<int64_t>(reference_.tables.size()) - 1));
    const int64_t num_tokens = Draw(1, static_cast<int64_t>(parent->second.size()) * 4);
    const bool fits = num_tokens % 4 == 0 || reference_.NumFree() > 0;
    const auto copy = pool_.Fork(parent->first, child, num_tokens);
    ASSERT_EQ(copy.ok(), fits);
    if (!fits) return;
    std::vector<BlockId> table(parent->second.begin(), parent->second.begin() + num_tokens / 4);
    ASSERT_EQ(copy->has_value(), num_tokens % 4 != 0);
    if (copy->has_value()) {
      ASSERT_EQ((*copy)->from, parent->second[num_tokens / 4]);
      ASSERT_FALSE(reference_.IsHeld((*copy)->to));
      ASSERT_NO_FATAL_FAILURE(reference_.ExpectTaken((*copy)->to));
      table.push_back((*copy)->to);
    }
    chains_[child] = chains_.at(parent->first);
    chains_[child].resize(num_tokens / 4);
    reference_.tables[child] = table;
  }

  void Compare() {
    ASSERT_EQ(pool_.num_free(), reference_.NumFree());
    ASSERT_EQ(pool_.num_cached(), static_cast<int64_t>(reference_.block_of.size()));
    for (const auto& [id, table] : reference_.tables) {
      ASSERT_EQ(pool_.BlockTable(id), absl::MakeConstSpan(table));
    }
  }

  std::mt19937 random_;
  const int64_t num_blocks_;
  BlockPool pool_;
  Reference reference_;
  std::map<SequenceId, std::vector<uint64_t>> chains_;
};

TEST(PrefixCacheTest, RandomGamesFollowTheReference) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    Game game(seed);
    ASSERT_NO_FATAL_FAILURE(game.Play(2000));
  }
}

}  // namespace
}  // namespace oneai::serving
