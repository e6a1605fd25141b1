// The node's cache: a folder for each project, and never more than its bound.
#include "compute_fabric/node/node_cache.h"

#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

namespace fs = std::filesystem;

class NodeCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) /
              absl::StrCat("node-cache-", getpid(), "-",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path Put(const fs::path& file, int bytes, std::chrono::minutes unused_for) {
    std::ofstream(file) << std::string(bytes, 'x');
    fs::last_write_time(file, fs::file_time_type::clock::now() - unused_for);
    return file;
  }

  fs::path folder_;
};

TEST_F(NodeCacheTest, EachProjectHasAFolderThatOnlyItsOwnerOpens) {
  const NodeCache cache(folder_, 1000);
  const std::optional<fs::path> one = cache.FolderOf("retail/assistant");
  const std::optional<fs::path> other = cache.FolderOf("retail.assistant/x");
  ASSERT_TRUE(one.has_value() && other.has_value());
  EXPECT_NE(*one, *other);
  EXPECT_EQ(fs::status(*one).permissions(), fs::perms::owner_all);
  EXPECT_EQ(cache.FolderOf("retail/assistant"), one);
}

TEST_F(NodeCacheTest, NamesThatLeadElsewhereHaveNone) {
  const NodeCache cache(folder_, 1000);
  for (const char* name :
       {"", "retail", "../x", "a/..", "a/.hidden", "/etc", "a/b/c", "a//b", "a/b c", "a/b\n"}) {
    EXPECT_EQ(cache.FolderOf(name), std::nullopt) << name;
  }
}

TEST_F(NodeCacheTest, WhatWasNotUsedForLongestGoesFirst) {
  NodeCache cache(folder_, 1000);
  const fs::path a = *cache.FolderOf("a/a"), b = *cache.FolderOf("b/b");
  const fs::path old = Put(a / "old.packed", 500, std::chrono::minutes(90));
  const fs::path middle = Put(b / "middle.packed", 500, std::chrono::minutes(60));
  const fs::path recent = Put(a / "recent.packed", 400, std::chrono::minutes(5));
  cache.Trim(absl::UnixEpoch());
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(middle));
  EXPECT_TRUE(fs::exists(recent));
}

TEST_F(NodeCacheTest, LeftoversOfKilledWritersGoOnceNobodyWritesThem) {
  NodeCache cache(folder_, 1000);
  const fs::path a = *cache.FolderOf("a/a");
  const fs::path dead = Put(a / "1.packed.tmp.abcdef", 10, std::chrono::minutes(60));
  const fs::path alive = Put(a / "2.packed.tmp.abcdef", 10, std::chrono::minutes(0));
  cache.Trim(absl::UnixEpoch());
  EXPECT_FALSE(fs::exists(dead));
  EXPECT_TRUE(fs::exists(alive));
}

TEST_F(NodeCacheTest, LooksAtTheDiskOnceAMinute) {
  NodeCache cache(folder_, 10);
  cache.Trim(absl::UnixEpoch());
  const fs::path large = Put(*cache.FolderOf("a/a") / "x.packed", 500, std::chrono::minutes(1));
  cache.Trim(absl::UnixEpoch() + absl::Seconds(30));
  EXPECT_TRUE(fs::exists(large));
  cache.Trim(absl::UnixEpoch() + absl::Seconds(61));
  EXPECT_FALSE(fs::exists(large));
}

TEST_F(NodeCacheTest, ABoundOfZeroMeansNone) {
  ASSERT_TRUE(NodeCache(folder_, 10).FolderOf("a/a").has_value());
  const NodeCache none(folder_, 0);
  EXPECT_EQ(none.FolderOf("a/a"), std::nullopt);
  EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(NodeCacheTest, ADiskThatRefusesStopsNothing) {
  std::ofstream(folder_) << "a file where the folder should be";
  EXPECT_EQ(NodeCache(folder_, 10).FolderOf("a/a"), std::nullopt);
}

}  // namespace
}  // namespace oneai::fabric
