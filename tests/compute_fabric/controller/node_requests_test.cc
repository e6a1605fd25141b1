// Node operations through the controller's core, with agents in the same process.
#include "compute_fabric/controller/node_requests.h"

#include "base/store/memory_store.h"
#include "tests/compute_fabric/controller/fake_fabric.h"

namespace oneai::fabric::testing {
namespace {

using oneai::testing::StatusIs;
using ::testing::_;
using ::testing::HasSubstr;

class NodeRequestsTest : public FakeFabric {
 protected:
  void SetUp() override {
    StartController();
    requests_ = std::make_unique<NodeRequests>(&core_->state, &hooks_);
  }
  std::unique_ptr<Store> OpenStore() override { return NewMemoryStore(); }

  v1::Node NodeRecord(const std::string& name) { return *core_->state.nodes().Find(name).value; }
  absl::Status Drain(const std::string& name, absl::Duration deadline, bool force = false) {
    v1::DrainNodeRequest request;
    request.set_name(name);
    request.set_reason("disk swap");
    request.set_deadline_ms(absl::ToInt64Milliseconds(deadline));
    request.set_force(force);
    return requests_->Drain(request, Admin());
  }
  v1::Reservation Window(const std::string& name, absl::Duration from, absl::Duration to) {
    v1::Reservation window;
    window.set_name(name);
    window.set_kind(v1::RESERVED);
    window.set_project("retail/nlp");
    window.set_start_unix_ms(absl::ToUnixMillis(clock_.Now() + from));
    window.set_end_unix_ms(absl::ToUnixMillis(clock_.Now() + to));
    return window;
  }
  void Uncordon(const std::string& name) {
    v1::SetNodeSchedulableRequest request;
    request.set_name(name);
    request.set_schedulable(true);
    ASSERT_OK(core_->sessions.SetSchedulable(request, Admin()));
  }

  std::unique_ptr<NodeRequests> requests_;
};

TEST_F(NodeRequestsTest, ADrainMovesGangsWholeAndEndsDrained) {
  AddNode("a", 2000);
  AddNode("b", 2000);
  ASSERT_OK_AND_ASSIGN(const auto submitted, Submit(Spec("train", 2, 1000)));
  Rounds(3);
  const std::string id = submitted.job().id();
  ASSERT_EQ(JobOf(id).state(), v1::RUNNING);
  const std::string first = JobOf(id).tasks(0).node();
  const std::string other = first == "a" ? "b" : "a";
  ASSERT_OK(Drain(first, absl::Minutes(10)));
  EXPECT_EQ(NodeRecord(first).state(), v1::DRAINING);
  Rounds(8);
  EXPECT_EQ(NodeRecord(first).state(), v1::DRAINED);
  EXPECT_EQ(JobOf(id).state(), v1::RUNNING);
  EXPECT_EQ(JobOf(id).attempt(), 2);
  EXPECT_EQ(JobOf(id).num_restarts(), 0) << "a drain costs no restart";
  const v1::Job moved = JobOf(id);
  for (const v1::Task& task : moved.tasks()) EXPECT_EQ(task.node(), other);
  Uncordon(first);
  EXPECT_EQ(NodeRecord(first).state(), v1::READY);
}

TEST_F(NodeRequestsTest, ADrainThatWouldViolateAReservationIsRefusedWithWhatWouldDo) {
  AddNode("a", 2000);
  v1::Reservation wanted = Window("launch", absl::Minutes(10), absl::Hours(2));
  wanted.add_nodes("a");
  ASSERT_OK(requests_->CreateReservation(wanted, Admin()));
  EXPECT_THAT(Drain("a", absl::Minutes(15)),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("a deadline of at most 10m would do")));
  EXPECT_THAT(Drain("a", absl::Hours(24 * 30)), StatusIs(absl::StatusCode::kInvalidArgument,
                                                         HasSubstr("nearest valid value is 168h")));
  EXPECT_OK(Drain("a", absl::Minutes(10)));
  EXPECT_OK(Drain("a", absl::Minutes(15), /*force=*/true));
  EXPECT_THAT(Drain("nowhere", absl::Minutes(1)), StatusIs(absl::StatusCode::kNotFound, _));
}

TEST_F(NodeRequestsTest, ReservationsChooseNodesAndRefuseWhatCannotBe) {
  AddNode("a", 2000);
  AddNode("b", 2000);
  v1::Reservation wanted = Window("launch", absl::Minutes(10), absl::Hours(2));
  wanted.set_num_nodes(1);
  ASSERT_OK_AND_ASSIGN(const v1::Reservation made, requests_->CreateReservation(wanted, Admin()));
  ASSERT_EQ(made.nodes_size(), 1);
  EXPECT_THAT(requests_->CreateReservation(wanted, Admin()),
              StatusIs(absl::StatusCode::kAlreadyExists, _));
  wanted.set_name("second");
  wanted.set_num_nodes(2);
  EXPECT_THAT(requests_->CreateReservation(wanted, Admin()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nearest valid number is 1")));
  wanted.set_num_nodes(0);
  wanted.add_nodes(made.nodes(0));
  EXPECT_THAT(requests_->CreateReservation(wanted, Admin()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("overlaps")));
  wanted.set_nodes(0, "nowhere");
  EXPECT_THAT(requests_->CreateReservation(wanted, Admin()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no node nowhere")));
  v1::Reservation past = Window("past", -absl::Hours(2), -absl::Hours(1));
  past.add_nodes("a");
  EXPECT_THAT(requests_->CreateReservation(past, Admin()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("must be after now")));
  EXPECT_THAT(requests_->CreateReservation(wanted, Engineer()),
              StatusIs(absl::StatusCode::kPermissionDenied, _));
  EXPECT_EQ(requests_->ListReservations().size(), 1u);
  EXPECT_OK(requests_->DeleteReservation("launch", Admin()));
  EXPECT_THAT(requests_->DeleteReservation("launch", Admin()),
              StatusIs(absl::StatusCode::kNotFound, _));
}

TEST_F(NodeRequestsTest, AMaintenanceWindowEmptiesItsNodesAndGivesThemBack) {
  AddNode("a", 2000);
  v1::Reservation window = Window("firmware", absl::Minutes(1), absl::Minutes(2));
  window.set_kind(v1::MAINTENANCE);
  window.clear_project();
  window.add_nodes("a");
  ASSERT_OK(requests_->CreateReservation(window, Admin()));
  Rounds(2);
  EXPECT_EQ(NodeRecord("a").state(), v1::DRAINED);
  Rounds(260);
  EXPECT_EQ(NodeRecord("a").state(), v1::READY);
}

TEST_F(NodeRequestsTest, ABrokenDeviceDrainsItsNodeAndTheSpareStandsIn) {
  AddNode("a", 2000, {"hanguang-800"});
  AddNode("s", 2000, {"hanguang-800"});
  v1::SetNodeSpareRequest spare;
  spare.set_name("s");
  spare.set_spare(true);
  ASSERT_OK(requests_->SetSpare(spare, Admin()));
  v1::JobSpec spec = Spec("serve", 1, 1000);
  v1::DeviceRequest* device = spec.mutable_resources()->add_devices();
  device->set_kind("hanguang-800");
  device->set_count(1);
  ASSERT_OK_AND_ASSIGN(const auto first, Submit(spec));
  Round();  // of jobs submitted at one instant the id, which is random, says who is first
  ASSERT_OK_AND_ASSIGN(const auto second, Submit(spec));
  Rounds(4);
  ASSERT_EQ(JobOf(first.job().id()).tasks_size(), 1);
  EXPECT_EQ(JobOf(first.job().id()).tasks(0).node(), "a");
  EXPECT_EQ(JobOf(second.job().id()).state(), v1::PENDING) << "a held spare takes no tasks";
  Agent("a").SetBroken({{"device:dev-0", "core 3 does not answer"}});
  Rounds(10);
  EXPECT_EQ(NodeRecord("a").state(), v1::DRAINED);
  EXPECT_EQ(NodeRecord("s").standing_in_for(), "a");
  EXPECT_EQ(core_->state.JobsOnNode("s").size(), 1u) << "whichever of them came first";
  Agent("a").SetBroken({});
  Rounds(3);
  EXPECT_EQ(NodeRecord("a").state(), v1::READY);
  EXPECT_EQ(NodeRecord("s").standing_in_for(), "");
}

TEST_F(NodeRequestsTest, ANodeOfAnotherVersionOrClockJoinsNotReadyAndGetsNothing) {
  FakeAgent& old = AddNode("old", 4000);
  old.info().set_protocol_version(1);
  FakeAgent& late = AddNode("late", 4000);
  ASSERT_OK(Submit(Spec("train", 1, 1000)));
  for (int i = 0; i < 4; ++i) {
    late.SetClock(clock_.Now() - absl::Minutes(2));
    Round();
  }
  EXPECT_EQ(NodeRecord("old").state(), v1::NOT_READY);
  EXPECT_THAT(NodeRecord("old").message(), HasSubstr("protocol version 1"));
  EXPECT_EQ(NodeRecord("late").state(), v1::NOT_READY);
  EXPECT_THAT(NodeRecord("late").message(), HasSubstr("2m behind"));
  EXPECT_EQ(NumRunning(), 0);
}

TEST_F(NodeRequestsTest, LabelsAreSetRemovedAndBounded) {
  AddNode("a", 2000);
  v1::SetNodeLabelsRequest request;
  request.set_name("a");
  (*request.mutable_set())["rack"] = "r7";
  ASSERT_OK(requests_->SetLabels(request, Admin()));
  EXPECT_EQ(NodeRecord("a").labels().at("rack"), "r7");
  request.clear_set();
  request.add_remove("rack");
  ASSERT_OK(requests_->SetLabels(request, Admin()));
  EXPECT_TRUE(NodeRecord("a").labels().empty());
  (*request.mutable_set())["bad key"] = "x";
  EXPECT_THAT(requests_->SetLabels(request, Admin()),
              StatusIs(absl::StatusCode::kInvalidArgument, _));
  EXPECT_THAT(requests_->SetLabels(v1::SetNodeLabelsRequest(), Engineer()),
              StatusIs(absl::StatusCode::kPermissionDenied, _));
}

}  // namespace
}  // namespace oneai::fabric::testing
