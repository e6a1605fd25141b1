#include "serving/scheduler/state_pool.h"

#include <map>
#include <random>
#include <set>

#include "gtest/gtest.h"

namespace oneai::serving {
namespace {

BlockHash Name(uint64_t i) { return {i, ~i}; }

TEST(StatePoolTest, SnapshotsGiveWayOldestFirst) {
  StatePool pool(3);
  for (uint64_t i = 0; i < 3; ++i) pool.Keep(Name(i), *pool.Take());
  EXPECT_EQ(pool.num_snapshots(), 3);
  EXPECT_EQ(pool.num_free(), 3);
  const int32_t kept = *pool.Find(Name(0));  // used just now
  EXPECT_NE(*pool.Take(), kept);
  EXPECT_FALSE(pool.Knows(Name(1)));
  EXPECT_TRUE(pool.Knows(Name(0)));
  EXPECT_TRUE(pool.Knows(Name(2)));
}

TEST(StatePoolTest, ASlotThatWasASnapshotKeepsItsContents) {
  StatePool pool(1);
  const int32_t slot = *pool.Take();
  pool.Keep(Name(1), slot);
  EXPECT_EQ(pool.Find(Name(1)), slot);
  EXPECT_EQ(pool.Take(), slot);
  EXPECT_EQ(pool.Find(Name(1)), std::nullopt);
  EXPECT_EQ(pool.Take(), std::nullopt);
}

TEST(StatePoolTest, TheSecondOfANameIsGivenBack) {
  StatePool pool(4);
  pool.Keep(Name(1), *pool.Take());
  const int32_t first = *pool.Find(Name(1));
  pool.Keep(Name(1), *pool.Take());
  EXPECT_EQ(pool.Find(Name(1)), first);
  EXPECT_EQ(pool.num_snapshots(), 1);
  EXPECT_EQ(pool.num_free(), 4);
}

TEST(StatePoolTest, AModelWithoutStatesHasNoSlots) {
  StatePool pool(0);
  EXPECT_EQ(pool.Take(), std::nullopt);
  pool.Drop(Name(1));
  EXPECT_EQ(pool.num_free(), 0);
}

// Against a plain model: every slot is free, a snapshot or the caller's, exactly once.
TEST(StatePoolTest, NoSlotIsLost) {
  std::mt19937 random(5);
  StatePool pool(8);
  std::set<int32_t> held;
  std::map<uint64_t, int32_t> snapshots;
  std::vector<uint64_t> ages;  // oldest first
  const auto forget = [&](uint64_t name) {
    snapshots.erase(name);
    std::erase(ages, name);
  };
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t name = random() % 12;
    switch (random() % 5) {
      case 0:
      case 1:
        if (const std::optional<int32_t> slot = pool.Take()) {
          const bool was_free = held.size() + snapshots.size() < 8;
          if (!was_free) {
            ASSERT_EQ(snapshots.at(ages.front()), *slot);
            forget(ages.front());
          }
          ASSERT_TRUE(held.insert(*slot).second);
        } else {
          ASSERT_EQ(held.size(), 8u);
        }
        break;
      case 2:
        if (held.empty()) break;
        if (!snapshots.contains(name)) snapshots[name] = *held.begin();
        pool.Keep(Name(name), *held.begin());
        held.erase(held.begin());
        std::erase(ages, name);
        ages.push_back(name);
        break;
      case 3:
        if (held.empty()) break;
        pool.Give(*held.begin());
        held.erase(held.begin());
        break;
      case 4:
        if (random() % 2 == 0) {
          pool.Drop(Name(name));
          forget(name);
        } else if (const std::optional<int32_t> slot = pool.Find(Name(name))) {
          ASSERT_EQ(snapshots.at(name), *slot);
          std::erase(ages, name);
          ages.push_back(name);
        } else {
          ASSERT_FALSE(snapshots.contains(name));
        }
        break;
    }
    ASSERT_EQ(pool.num_free(), 8 - static_cast<int64_t>(held.size()));
    ASSERT_EQ(pool.num_snapshots(), static_cast<int64_t>(snapshots.size()));
  }
}

}  // namespace
}  // namespace oneai::serving
