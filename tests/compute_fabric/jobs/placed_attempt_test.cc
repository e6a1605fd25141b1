#include "compute_fabric/jobs/placed_attempt.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;

TEST(PlacedAttemptTest, TheNewestOfGangAndRankCounts) {
  const std::filesystem::path dir =
      std::filesystem::path(::testing::TempDir()) / absl::StrCat("placed.", getpid());
  EXPECT_EQ(ReadPlacedAttempt(dir, 0).value_or(-1), 0);
  ASSERT_OK(WritePlacedAttempt(dir, std::nullopt, 2));
  EXPECT_EQ(ReadPlacedAttempt(dir, 0).value_or(-1), 2);
  ASSERT_OK(WritePlacedAttempt(dir, 1, 7));
  EXPECT_EQ(ReadPlacedAttempt(dir, 0).value_or(-1), 2) << "another rank's attempts are its own";
  EXPECT_EQ(ReadPlacedAttempt(dir, 1).value_or(-1), 7);
  ASSERT_OK(WriteFileAtomically(dir / "placed" / "1", "seven"));
  EXPECT_THAT(ReadPlacedAttempt(dir, 1), StatusIs(absl::StatusCode::kDataLoss, ::testing::_));
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace oneai::fabric
