#include "serving/scheduler/block_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

constexpr int64_t kBytes = 64;

std::vector<std::byte> Block(int fill) {
  return std::vector<std::byte>(kBytes, static_cast<std::byte>(fill));
}

BlockHash Name(uint64_t n) { return {n, ~n}; }

std::unique_ptr<BlockFile> Open(int64_t num_blocks) {
  absl::StatusOr<std::unique_ptr<BlockFile>> file =
      BlockFile::Create(::testing::TempDir(), kBytes, num_blocks * kBytes);
  EXPECT_OK(file);
  return *std::move(file);
}

TEST(BlockFileTest, GivesBackWhatItWasGiven) {
  const std::unique_ptr<BlockFile> file = Open(4);
  for (int i = 0; i < 4; ++i) file->Put(Name(i), Block(i));
  std::vector<std::byte> read(kBytes);
  for (int i = 3; i >= 0; --i) {
    ASSERT_TRUE(file->Get(Name(i), absl::MakeSpan(read)));
    EXPECT_EQ(read, Block(i));
  }
  EXPECT_FALSE(file->Get(Name(9), absl::MakeSpan(read)));
}

TEST(BlockFileTest, DropsWhatWasUsedLongestAgo) {
  const std::unique_ptr<BlockFile> file = Open(2);
  std::vector<std::byte> read(kBytes);
  file->Put(Name(1), Block(1));
  file->Put(Name(2), Block(2));
  ASSERT_TRUE(file->Get(Name(1), absl::MakeSpan(read)));
  file->Put(Name(3), Block(3));
  EXPECT_TRUE(file->Knows(Name(1)));
  EXPECT_FALSE(file->Knows(Name(2)));
  EXPECT_EQ(file->num_blocks(), 2);
}

// Finds this process's descriptor of the file that has no name any more.
int FileDescriptor() {
  for (int fd = 3; fd < 256; ++fd) {
    char target[512];
    const ssize_t n = readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, 512);
    if (n > 0 && absl::StrContains(std::string(target, n), "oneai-prefix-cache")) return fd;
  }
  return -1;
}

TEST(BlockFileTest, DamagedBlocksAreForgotten) {
  const std::unique_ptr<BlockFile> file = Open(2);
  file->Put(Name(1), Block(1));
  const int fd = FileDescriptor();
  ASSERT_GE(fd, 0);
  ASSERT_EQ(pwrite(fd, "x", 1, 10), 1);
  std::vector<std::byte> read(kBytes);
  EXPECT_FALSE(file->Get(Name(1), absl::MakeSpan(read)));
  EXPECT_FALSE(file->Knows(Name(1)));
  ASSERT_EQ(ftruncate(fd, 0), 0);
  file->Put(Name(2), Block(2));
  ASSERT_EQ(ftruncate(fd, 3), 0);
  EXPECT_FALSE(file->Get(Name(2), absl::MakeSpan(read)));
  EXPECT_TRUE(file->is_open());
}

TEST(BlockFileTest, AFullDiskClosesItAndNothingElse) {
  const std::unique_ptr<BlockFile> file = Open(8);
  file->Put(Name(1), Block(1));
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit tight = {kBytes + kBytes / 2, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  file->Put(Name(2), Block(2));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_FALSE(file->is_open());
  EXPECT_FALSE(file->Knows(Name(1)));
  file->Put(Name(3), Block(3));
  EXPECT_EQ(file->num_blocks(), 0);
}

TEST(BlockFileTest, RefusesAFileForNoBlock) {
  EXPECT_THAT(BlockFile::Create(::testing::TempDir(), kBytes, kBytes - 1),
              testing::StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("63")));
}

}  // namespace
}  // namespace oneai::serving
