#include "compute_fabric/shim/output_file.h"

#include <filesystem>

#include "base/files/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class OutputFileTest : public ::testing::Test {
 protected:
  OutputFileTest()
      : path_(std::filesystem::path(::testing::TempDir()) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove(path_);
  }
  std::string Content() const { return ReadFile(path_).value_or("(absent)"); }
  const std::filesystem::path path_;
};

TEST_F(OutputFileTest, KeepsWhatFits) {
  OutputFile file(path_, 10);
  file.Append("01234");
  file.Append("56789");
  EXPECT_EQ(Content(), "0123456789");
  EXPECT_EQ(file.bytes_dropped(), 0);
}

TEST_F(OutputFileTest, DropsBeyondTheLimitAndSaysSoOnce) {
  OutputFile file(path_, 10);
  file.Append("0123456789ab");
  file.Append("cdef");
  EXPECT_THAT(Content(), StartsWith("0123456789\n[oneai: the output limit of 10 bytes"));
  EXPECT_EQ(Content().find("limit"), Content().rfind("limit"));
  EXPECT_EQ(file.bytes_dropped(), 6);
}

TEST_F(OutputFileTest, CountsWhatTheFileHeldBefore) {
  OutputFile(path_, 10).Append("01234567");
  OutputFile file(path_, 10);
  file.Append("89ab");
  EXPECT_THAT(Content(), StartsWith("0123456789\n"));
  EXPECT_EQ(file.bytes_dropped(), 2);
}

TEST_F(OutputFileTest, AFullDiskDropsAndCounts) {
  OutputFile file("/dev/full", 100);
  file.Append("lost");
  file.Append("too");
  EXPECT_EQ(file.bytes_dropped(), 7);
}

TEST_F(OutputFileTest, APathThatCannotBeOpenedDropsEverything) {
  OutputFile file("/nonexistent/folder/output.log", 100);
  file.Append("lost");
  EXPECT_EQ(file.bytes_dropped(), 4);
}

}  // namespace
}  // namespace oneai::fabric
