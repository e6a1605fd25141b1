#include "compute_fabric/scheduler/calendar/reservation.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

ReservationSpec Spec(std::string name, std::vector<std::string> nodes, int from_h, int to_h) {
  return {.name = std::move(name),
          .nodes = std::move(nodes),
          .start = kNow + absl::Hours(from_h),
          .end = kNow + absl::Hours(to_h)};
}

TEST(ReservationTest, RefusesWhatCannotBeHeldAndNamesWhatCan) {
  const std::vector<ReservationSpec> existing = {Spec("first", {"a", "b"}, 2, 4),
                                                 Spec("second", {"b"}, 4, 5)};
  EXPECT_OK(CheckReservation(Spec("new", {"c"}, 2, 4), existing, kNow));
  EXPECT_OK(CheckReservation(Spec("new", {"a", "b"}, 0, 2), existing, kNow));
  EXPECT_OK(CheckReservation(Spec("first", {"a"}, 3, 4), existing, kNow));  // replaces itself
  EXPECT_THAT(CheckReservation(Spec("new", {"b"}, 3, 5), existing, kNow),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("new"), HasSubstr("overlaps reservation first"),
                             HasSubstr("on b"), HasSubstr("for as long from 2023-11-15 03:13"))));
  EXPECT_THAT(CheckReservation(Spec("new", {"a"}, 3, 3), existing, kNow),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("end must be after")));
  EXPECT_THAT(CheckReservation(Spec("new", {"a"}, -3, -2), existing, kNow),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ended")));
  EXPECT_THAT(CheckReservation(Spec("new", {}, 1, 2), existing, kNow),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no node")));
}

TEST(ReservationTest, ChoosesNodesThatAreFreeSoonest) {
  const NodeSpec a{.name = "a", .labels = {{"rack", "1"}}};
  const NodeSpec b{.name = "b", .labels = {{"rack", "1"}}};
  NodeSpec c{.name = "c", .labels = {{"rack", "1"}}};
  c.holds = {{.start = kNow + absl::Hours(1), .end = kNow + absl::Hours(2)}};
  const NodeSpec d{.name = "d"};
  const std::vector<ReservableNode> nodes = {
      {&a, absl::InfiniteFuture()}, {&b, kNow}, {&c, kNow}, {&d, kNow}};
  const absl::Time start = kNow + absl::Hours(1);
  const auto chosen = ChooseNodes(nodes, {{"rack", "1"}}, 1, start, start + absl::Hours(1));
  ASSERT_OK(chosen);
  EXPECT_THAT(*chosen, ElementsAre("b"));
  EXPECT_THAT(ChooseNodes(nodes, {{"rack", "1"}}, 3, start, start + absl::Hours(1)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("3 have the labels"), HasSubstr("valid number is 2"))));
}

TEST(ReservationTest, BecomesHoldsOfItsNodes) {
  ReservationSpec launch = Spec("launch", {"a"}, 5, 6);
  launch.use = ReservationUse::kReserved;
  launch.project = "retail";
  ReservationSpec firmware = Spec("fw-12", {"a", "b"}, 1, 2);
  firmware.reason = "firmware";
  const auto holds = HoldsOf("a", {launch, firmware, Spec("past", {"a"}, -2, -1)}, kNow);
  ASSERT_THAT(holds, SizeIs(2));
  EXPECT_EQ(holds[0].reason, "maintenance: firmware");
  EXPECT_EQ(holds[0].reservation, "");
  EXPECT_EQ(holds[1].reason, "reserved as launch for retail");
  EXPECT_EQ(holds[1].reservation, "launch");
}

TEST(ReservationTest, ADrainThatViolatesAReservationIsRefused) {
  ReservationSpec launch = Spec("launch", {"a"}, 5, 6);
  launch.use = ReservationUse::kReserved;
  EXPECT_OK(CheckDrain("a", kNow, kNow + absl::Hours(5), {launch}));
  EXPECT_OK(CheckDrain("b", kNow, absl::InfiniteFuture(), {launch}));
  EXPECT_OK(CheckDrain("a", kNow, absl::InfiniteFuture(), {Spec("fw", {"a"}, 1, 2)}));
  EXPECT_THAT(CheckDrain("a", kNow, absl::InfiniteFuture(), {launch}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("reservation launch"), HasSubstr("back by then"))));
}

}  // namespace
}  // namespace oneai::fabric
