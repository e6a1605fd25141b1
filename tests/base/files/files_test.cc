#include "base/files/files.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>

#include "base/clock.h"
#include "base/ids.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai {
namespace {

using ::testing::_;
using ::testing::HasSubstr;
using testing::StatusIs;
using testing::TempDir;

TEST(FilesTest, WritesAndReadsBack) {
  TempDir dir;
  const auto path = dir.path() / "a.txt";
  ASSERT_OK(WriteFileAtomically(path, "one", 0600));
  ASSERT_OK(WriteFileAtomically(path, "two", 0600));
  ASSERT_OK_AND_ASSIGN(const std::string content, ReadFile(path));
  EXPECT_EQ(content, "two");
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  // No temporary file is left.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(FilesTest, ReadNamesTheMissingFileAndTheLimit) {
  TempDir dir;
  EXPECT_THAT(ReadFile(dir.path() / "none"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
  ASSERT_OK(WriteFileAtomically(dir.path() / "big", std::string(100, 'x')));
  EXPECT_THAT(ReadFile(dir.path() / "big", 99),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("99 bytes")));
}

TEST(FilesTest, AFullDiskLeavesTheOldFile) {
  TempDir dir;
  const auto path = dir.path() / "state";
  ASSERT_OK(WriteFileAtomically(path, "old"));
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{4096, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = WriteFileAtomically(path, std::string(10000, 'n'));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("state")));
  ASSERT_OK_AND_ASSIGN(const std::string content, ReadFile(path));
  EXPECT_EQ(content, "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(ResolveBeneathTest, TakesPathsBelowTheRoot) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(const auto path, ResolveBeneath(dir.path(), "a/b.txt"));
  EXPECT_EQ(path, std::filesystem::canonical(dir.path()) / "a/b.txt");
}

TEST(ResolveBeneathTest, RefusesEveryEscape) {
  TempDir dir;
  TempDir outside;
  std::filesystem::create_symlink(outside.path(), dir.path() / "link");
  std::filesystem::create_symlink(outside.path() / "not-yet", dir.path() / "dangling");
  const std::string nul("a\0b", 3);
  const std::string escapes[] = {"",  "/etc/passwd", "..",   "../x",   "a/../../x", "a/..",
                                 nul, "a\\..\\b",    "link", "link/x", "dangling"};
  for (const std::string& escape : escapes) {
    EXPECT_THAT(ResolveBeneath(dir.path(), escape), StatusIs(absl::StatusCode::kInvalidArgument, _))
        << escape;
  }
}

TEST(ResolveBeneathTest, ASiblingWithTheSamePrefixIsOutside) {
  TempDir dir;
  std::filesystem::create_directories(dir.path() / "root-evil");
  std::filesystem::create_directories(dir.path() / "root");
  std::filesystem::create_symlink(dir.path() / "root-evil", dir.path() / "root" / "link");
  EXPECT_THAT(ResolveBeneath(dir.path() / "root", "link"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("symbolic link")));
}

TEST(Sha256Test, MatchesTheStandard) {
  // Source: FIPS 180-2, appendix B.1.
  const std::string expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(Sha256Hex("abc"), expected);
  TempDir dir;
  ASSERT_OK(WriteFileAtomically(dir.path() / "f", "abc"));
  EXPECT_THAT(Sha256HexOfFile(dir.path() / "f"), testing::IsOk());
  EXPECT_EQ(*Sha256HexOfFile(dir.path() / "f"), expected);
  EXPECT_THAT(Sha256HexOfFile(dir.path() / "none"), StatusIs(absl::StatusCode::kNotFound, _));
}

TEST(ErrnoStatusTest, CodesMeanOneThing) {
  EXPECT_THAT(ErrnoStatus(ENOSPC, "x"),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("x: ")));
  EXPECT_THAT(ErrnoStatus(EACCES, "x"), StatusIs(absl::StatusCode::kPermissionDenied, _));
  EXPECT_THAT(ErrnoStatus(EIO, "x"), StatusIs(absl::StatusCode::kInternal, _));
}

TEST(IdsTest, IdsAndSecretsHaveTheirForm) {
  EXPECT_THAT(NewId("job-"), ::testing::MatchesRegex("job-[a-z0-9]{10}"));
  EXPECT_NE(NewId("a"), NewId("a"));
  EXPECT_THAT(NewSecret(), ::testing::MatchesRegex("[-_A-Za-z0-9]{43}"));
}

TEST(ClockTest, AFakeClockMovesOnlyWhenTold) {
  FakeClock clock;
  const absl::Time start = clock.Now();
  clock.Advance(absl::Seconds(5));
  EXPECT_EQ(clock.Now() - start, absl::Seconds(5));
  EXPECT_GT(Clock::Real()->Now(), start);
}

}  // namespace
}  // namespace oneai
