#include "compute_fabric/scheduler/calendar/calendar.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

NodeSpec NodeWith(std::vector<NodeHold> holds) { return {.name = "a", .holds = std::move(holds)}; }

JobView JobOf(absl::Duration limit, bool preemptible = false) {
  return {.id = "j", .time_limit = limit, .preemptible = preemptible};
}

NodeHold Maintenance(absl::Duration from, absl::Duration to) {
  return {.start = kNow + from, .end = kNow + to, .reason = "maintenance: firmware"};
}

NodeHold Reserved(absl::Duration from, absl::Duration to) {
  return {.start = kNow + from,
          .end = kNow + to,
          .reservation = "launch",
          .reason = "reserved as launch for retail"};
}

TEST(CalendarTest, AJobMustEndBeforeAHoldBegins) {
  const NodeSpec node = NodeWith({Maintenance(absl::Hours(2), absl::Hours(4))});
  std::string why;
  EXPECT_TRUE(MayUse(node, JobOf(absl::Hours(2)), kNow, &why));
  EXPECT_FALSE(MayUse(node, JobOf(absl::Hours(2) + absl::Seconds(1)), kNow, &why));
  EXPECT_THAT(why, HasSubstr("maintenance: firmware, from 2023-11-15 00:13 UTC to 2023-11-15 "
                             "02:13 UTC: the job's limit of 2h1s would reach into it"));
  EXPECT_FALSE(MayUse(node, JobOf(absl::Minutes(1)), kNow + absl::Hours(3), &why));
  EXPECT_THAT(why, HasSubstr("maintenance: firmware, until 2023-11-15 02:13 UTC"));
  EXPECT_TRUE(MayUse(node, JobOf(absl::InfiniteDuration()), kNow + absl::Hours(4), nullptr));
}

TEST(CalendarTest, AJobWithoutLimitNeedsToBePreemptible) {
  const NodeSpec node = NodeWith({Maintenance(absl::Hours(48), absl::Hours(50))});
  std::string why;
  EXPECT_TRUE(MayUse(node, JobOf(absl::InfiniteDuration(), true), kNow, &why));
  EXPECT_FALSE(MayUse(node, JobOf(absl::InfiniteDuration()), kNow, &why));
  EXPECT_THAT(why, HasSubstr("no time limit and cannot be preempted"));
}

TEST(CalendarTest, AReservationIsForItsJobsAndTheyForIt) {
  const NodeSpec node = NodeWith({Reserved(absl::Hours(1), absl::Hours(3))});
  JobView member = JobOf(absl::Hours(10));
  member.reservation = "launch";
  std::string why;
  EXPECT_FALSE(MayUse(node, member, kNow, &why));  // not yet
  EXPECT_EQ(why, "not held for reservation launch at present");
  EXPECT_TRUE(MayUse(node, member, kNow + absl::Hours(1), &why));
  EXPECT_FALSE(MayUse(node, member, kNow + absl::Hours(3), &why));
  EXPECT_FALSE(MayUse(NodeWith({}), member, kNow, &why));
  EXPECT_FALSE(MayUse(node, JobOf(absl::Minutes(1)), kNow + absl::Hours(2), &why));
  EXPECT_THAT(why, HasSubstr("reserved as launch for retail, until"));
  // Its own hold is no protection from a maintenance that follows.
  const NodeSpec both = NodeWith(
      {Reserved(absl::Hours(1), absl::Hours(3)), Maintenance(absl::Hours(3), absl::Hours(4))});
  EXPECT_FALSE(MayUse(both, member, kNow + absl::Hours(1), &why));
  member.time_limit = absl::Hours(2);
  EXPECT_TRUE(MayUse(both, member, kNow + absl::Hours(1), &why));
}

TEST(CalendarTest, NextChangeIsTheFirstEdgeAhead) {
  const std::vector<NodeHold> holds = {Maintenance(absl::Hours(-1), absl::Hours(3)),
                                       Maintenance(absl::Hours(2), absl::Hours(5))};
  EXPECT_EQ(NextHoldChange(holds, kNow), kNow + absl::Hours(2));
  EXPECT_EQ(NextHoldChange(holds, kNow + absl::Hours(2)), kNow + absl::Hours(3));
  EXPECT_EQ(NextHoldChange(holds, kNow + absl::Hours(5)), absl::InfiniteFuture());
}

}  // namespace
}  // namespace oneai::fabric
