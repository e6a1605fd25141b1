#include "compute_fabric/scheduler/preempt_backoff.h"

#include <gtest/gtest.h>

namespace oneai::fabric {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'000'000);

TEST(PreemptBackoffTest, WaitsInProportionToWhatRunsAndDoubles) {
  PreemptBackoff backoff;
  EXPECT_TRUE(backoff.MaySearch("unit", 3, kNow));
  backoff.Failed("unit", 3, 1'000, kNow);
  EXPECT_FALSE(backoff.MaySearch("unit", 3, kNow + absl::Milliseconds(499)));
  EXPECT_TRUE(backoff.MaySearch("unit", 4, kNow));
  EXPECT_TRUE(backoff.MaySearch("other", 3, kNow));
  const absl::Time again = kNow + absl::Milliseconds(500);
  EXPECT_TRUE(backoff.MaySearch("unit", 3, again));
  backoff.Failed("unit", 3, 1'000, again);
  EXPECT_FALSE(backoff.MaySearch("unit", 3, again + absl::Milliseconds(999)));
  EXPECT_TRUE(backoff.MaySearch("unit", 3, again + absl::Seconds(1)));
  backoff.Succeeded("unit", 3);
  EXPECT_TRUE(backoff.MaySearch("unit", 3, again));
}

TEST(PreemptBackoffTest, NeverWaitsMoreThanSixteenTimesTheFirst) {
  PreemptBackoff backoff;
  for (int i = 0; i < 20; ++i) backoff.Failed("unit", 0, 2'000, kNow);
  EXPECT_TRUE(backoff.MaySearch("unit", 0, kNow + absl::Seconds(16)));
}

TEST(PreemptBackoffTest, RoundsAreApartByWhatRuns) {
  PreemptBackoff backoff;
  EXPECT_TRUE(backoff.MayBeginRound(kNow));
  backoff.RoundBegun(4'000, kNow);
  EXPECT_FALSE(backoff.MayBeginRound(kNow + absl::Milliseconds(999)));
  EXPECT_TRUE(backoff.MayBeginRound(kNow + absl::Seconds(1)));
  backoff.RoundBegun(0, kNow);
  EXPECT_TRUE(backoff.MayBeginRound(kNow));
}

}  // namespace
}  // namespace oneai::fabric
