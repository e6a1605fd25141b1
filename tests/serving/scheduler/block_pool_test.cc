#include "serving/scheduler/block_pool.h"

#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

constexpr SequenceId kA{1}, kB{2};

TEST(BlockPoolTest, GrowTakesWhatIsMissing) {
  BlockPool pool(4, 16);
  ASSERT_OK(pool.Grow(kA, 1));
  EXPECT_EQ(pool.BlockTable(kA).size(), 1u);
  ASSERT_OK(pool.Grow(kA, 16));
  EXPECT_EQ(pool.BlockTable(kA).size(), 1u);
  ASSERT_OK(pool.Grow(kA, 33));
  EXPECT_EQ(pool.BlockTable(kA).size(), 3u);
  EXPECT_EQ(pool.num_free(), 1);
}

TEST(BlockPoolTest, GrowIsAllOrNothing) {
  BlockPool pool(4, 16);
  ASSERT_OK(pool.Grow(kA, 32));
  EXPECT_THAT(pool.Grow(kB, 48),
              testing::StatusIs(absl::StatusCode::kResourceExhausted,
                                ::testing::HasSubstr("3 blocks wanted, 2 of 4 free")));
  EXPECT_TRUE(pool.BlockTable(kB).empty());
  EXPECT_EQ(pool.num_free(), 2);
}

TEST(BlockPoolTest, ReleaseGivesEverythingBackOnce) {
  BlockPool pool(4, 16);
  ASSERT_OK(pool.Grow(kA, 64));
  EXPECT_EQ(pool.Release(kA), 4);
  EXPECT_EQ(pool.Release(kA), 0);
  EXPECT_EQ(pool.num_free(), 4);
}

}  // namespace
}  // namespace oneai::serving
