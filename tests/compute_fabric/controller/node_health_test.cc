#include "compute_fabric/controller/node_health.h"

#include "compute_fabric/controller/node_drain.h"
#include "compute_fabric/controller/node_maintenance.h"
#include "compute_fabric/controller/straggler.h"
#include "compute_fabric/jobs/job_steps.h"
#include "compute_fabric/node/protocol_version.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

v1::Node NodeOf(const std::string& name, const std::string& kind = "") {
  v1::Node node;
  node.mutable_info()->set_name(name);
  node.mutable_info()->set_protocol_version(kProtocolVersion);
  node.set_state(v1::READY);
  if (!kind.empty()) {
    v1::Device* device = node.mutable_info()->add_devices();
    device->set_id("gpu-0");
    device->set_kind(kind);
  }
  return node;
}

class NodeHealthTest : public ::testing::Test {
 protected:
  // A heartbeat at `now` with the agent's clock off by `skew`.
  void Beat(absl::Time now, absl::Duration skew = absl::ZeroDuration()) {
    v1::HeartbeatRequest request;
    *request.mutable_node() = node_.info();
    request.set_unix_ms(absl::ToUnixMillis(now + skew));
    for (const auto& [name, message] : broken_) {
      v1::HealthCheck* check = request.add_checks();
      check->set_name(name);
      check->set_healthy(false);
      check->set_message(message);
    }
    TakeChecks(node_, request, limits_, now, events_);
    ApplyHealth(node_, limits_, now, events_);
    SettleState(node_);
  }

  HealthLimits limits_;
  v1::Node node_ = NodeOf("n1");
  std::map<std::string, std::string> broken_;
  EventDrafts events_;
};

TEST_F(NodeHealthTest, AHealthyNodeKeepsNoChecks) {
  Beat(kNow);
  EXPECT_EQ(node_.state(), v1::READY);
  EXPECT_EQ(node_.checks_size(), 0);
  EXPECT_THAT(events_, IsEmpty());
}

TEST_F(NodeHealthTest, AClockThatIsOffMakesItNotReadyUntilItIsRight) {
  Beat(kNow, absl::Seconds(42));
  EXPECT_EQ(node_.state(), v1::NOT_READY);
  EXPECT_THAT(node_.message(), HasSubstr("its clock is 42s ahead"));
  EXPECT_FALSE(node_.has_drain()) << "what runs there goes on";
  Beat(kNow, -absl::Seconds(3));
  EXPECT_EQ(node_.state(), v1::READY);
  EXPECT_TRUE(node_.checks(0).healthy());
}

TEST_F(NodeHealthTest, AnotherProtocolVersionIsNotReadyAndSaysBoth) {
  node_.mutable_info()->set_protocol_version(kProtocolVersion - 1);
  Beat(kNow);
  EXPECT_EQ(node_.state(), v1::NOT_READY);
  EXPECT_THAT(node_.message(), HasSubstr(absl::StrCat("version ", kProtocolVersion - 1)));
  EXPECT_THAT(node_.message(), HasSubstr("install the same release"));
}

TEST_F(NodeHealthTest, ABrokenDeviceDrainsTheNodeAndItComesBack) {
  broken_["device:gpu-3"] = "Xid 79: GPU has fallen off the bus";
  Beat(kNow);
  ASSERT_TRUE(node_.has_drain());
  EXPECT_TRUE(node_.drain().automatic());
  EXPECT_EQ(node_.state(), v1::DRAINING);
  EXPECT_THAT(node_.message(), HasSubstr("gpu-3: Xid 79"));
  EXPECT_EQ(node_.drain().deadline_unix_ms(), absl::ToUnixMillis(kNow + limits_.drain_deadline));
  node_.set_state(v1::DRAINED);
  Beat(kNow + absl::Minutes(1));
  EXPECT_EQ(node_.state(), v1::DRAINED);
  broken_.clear();
  Beat(kNow + absl::Minutes(2));
  EXPECT_FALSE(node_.has_drain());
  EXPECT_EQ(node_.state(), v1::READY);
}

TEST_F(NodeHealthTest, ADrainByAPersonIsNotEndedByAHealthyCheck) {
  node_.mutable_drain()->set_by("root");
  Beat(kNow);
  EXPECT_TRUE(node_.has_drain());
  EXPECT_EQ(node_.state(), v1::DRAINING);
}

TEST_F(NodeHealthTest, ANodeSpeaksForItsOwnChecksOnly) {
  broken_["straggler"] = "another node is slow";
  broken_["version"] = "x";
  Beat(kNow);
  EXPECT_EQ(node_.state(), v1::READY);
}

v1::Job Gang(int num_tasks, const std::string& node) {
  v1::Job job;
  job.set_id("job-a");
  job.set_state(v1::RUNNING);
  job.set_attempt(1);
  job.mutable_spec()->set_gang(true);
  job.mutable_spec()->set_num_tasks(num_tasks);
  for (int i = 0; i < num_tasks; ++i) {
    v1::Task* task = job.add_tasks();
    task->set_rank(i);
    task->set_attempt(1);
    task->set_state(v1::TASK_RUNNING);
    task->set_ready(true);
    task->set_node(i == 0 ? node : "elsewhere");
  }
  return job;
}

v1::Node Draining(absl::Duration deadline) {
  v1::Node node = NodeOf("n1");
  node.mutable_drain()->set_reason("disk swap");
  node.mutable_drain()->set_deadline_unix_ms(absl::ToUnixMillis(kNow + deadline));
  node.set_state(v1::DRAINING);
  return node;
}

int NumStopping(const v1::Job& job) {
  int stopping = 0;
  for (const v1::Task& task : job.tasks()) stopping += task.state() == v1::TASK_STOPPING;
  return stopping;
}

TEST(DrainJobTest, AGangMovesWhole) {
  v1::Job job = Gang(3, "n1");
  EventDrafts events;
  EXPECT_TRUE(DrainJob(job, Draining(absl::Minutes(10)), kNow, events));
  EXPECT_EQ(job.stop_cause(), v1::STOP_DRAIN);
  EXPECT_EQ(NumStopping(job), 3);
  EXPECT_THAT(job.stop_message(), HasSubstr("node n1 is being drained: disk swap"));
}

TEST(DrainJobTest, AGangThatAskedForAWarningGetsItFirst) {
  v1::Job job = Gang(2, "n1");
  job.mutable_spec()->mutable_preemption()->set_warning_signal(10);
  job.mutable_spec()->mutable_preemption()->set_warning_ms(3'600'000);
  EventDrafts events;
  const v1::Node node = Draining(absl::Minutes(10));
  EXPECT_TRUE(DrainJob(job, node, kNow, events));
  EXPECT_GT(job.warned_unix_ms(), 0);
  EXPECT_EQ(NumStopping(job), 0);
  EXPECT_FALSE(DrainJob(job, node, kNow + absl::Minutes(1), events));
  EXPECT_TRUE(DrainJob(job, node, kNow + absl::Minutes(10), events)) << "the deadline is here";
  EXPECT_EQ(NumStopping(job), 2);
}

TEST(DrainJobTest, WhatIsNotPreemptibleStaysUntilTheDeadline) {
  v1::Job job = Gang(2, "n1");
  job.mutable_spec()->mutable_preemption()->set_preemptible(v1::NOT_PREEMPTIBLE);
  EventDrafts events;
  const v1::Node node = Draining(absl::Minutes(10));
  EXPECT_FALSE(DrainJob(job, node, kNow + absl::Minutes(9), events));
  EXPECT_TRUE(DrainJob(job, node, kNow + absl::Minutes(10), events));
}

TEST(DrainJobTest, WhatWouldEndInTimeIsLeftAlone) {
  v1::Job job = Gang(1, "n1");
  SetTime(job.mutable_attempt_started(), kNow - absl::Minutes(5));
  job.mutable_spec()->set_time_limit_ms(absl::ToInt64Milliseconds(absl::Minutes(10)));
  EventDrafts events;
  EXPECT_FALSE(DrainJob(job, Draining(absl::Minutes(10)), kNow, events));
  EXPECT_TRUE(DrainJob(job, Draining(absl::Minutes(3)), kNow, events));
}

v1::Job Replicas(int num_tasks, const std::string& node) {
  v1::Job job = Gang(num_tasks, node);
  job.mutable_spec()->set_gang(false);
  job.mutable_spec()->set_long_running(true);
  return job;
}

TEST(DrainJobTest, AReplicaMovesOnlyWhenAnExtraOneIsReady) {
  v1::Job job = Replicas(2, "n1");
  const v1::Node node = Draining(absl::Minutes(10));
  EventDrafts events;
  EXPECT_TRUE(DrainJob(job, node, kNow, events));
  EXPECT_EQ(job.spec().num_tasks(), 3) << "an extra one is asked for";
  EXPECT_EQ(NumStopping(job), 0);
  EXPECT_FALSE(DrainJob(job, node, kNow, events));
  v1::Task* extra = job.add_tasks();
  extra->set_rank(2);
  extra->set_attempt(1);
  extra->set_node("elsewhere");
  extra->set_state(v1::TASK_RUNNING);
  EXPECT_FALSE(DrainJob(job, node, kNow, events)) << "not ready yet";
  extra->set_ready(true);
  EXPECT_TRUE(DrainJob(job, node, kNow, events));
  EXPECT_EQ(NumStopping(job), 1);
  EXPECT_FALSE(EndSurge(job, &node, events)) << "the moved one is not back yet";
  job.mutable_tasks(0)->set_node("elsewhere");
  job.mutable_tasks(0)->set_state(v1::TASK_RUNNING);
  job.mutable_tasks(0)->set_ready(true);
  EXPECT_TRUE(EndSurge(job, &node, events));
  EXPECT_EQ(job.spec().num_tasks(), 2);
  EXPECT_EQ(job.tasks(2).state(), v1::TASK_STOPPING);
  EXPECT_FALSE(EndSurge(job, &node, events));
}

TEST(DrainJobTest, ReplicasAreNotWaitedForWhenTheDeadlineNears) {
  v1::Job job = Replicas(1, "n1");
  EventDrafts events;
  EXPECT_TRUE(DrainJob(job, Draining(absl::Minutes(10)), kNow + absl::Minutes(9.5), events));
  EXPECT_EQ(NumStopping(job), 1);
}

TEST(PlanSparesTest, ASpareOfItsKindsStandsInAndGoesBack) {
  v1::Node lost = NodeOf("a", "nvidia-h100-80g");
  v1::Node other_kind = NodeOf("s1", "hanguang-800");
  v1::Node spare = NodeOf("s2", "nvidia-h100-80g");
  other_kind.set_spare(true);
  spare.set_spare(true);
  const auto plan = [&] { return PlanSpares({&lost, &other_kind, &spare}); };
  EXPECT_THAT(plan(), IsEmpty());
  lost.set_state(v1::LOST);
  EXPECT_THAT(plan(), ElementsAre(SpareChange{"s2", "a"}));
  spare.set_standing_in_for("a");
  EXPECT_THAT(plan(), IsEmpty());
  lost.set_state(v1::READY);
  EXPECT_THAT(plan(), ElementsAre(SpareChange{"s2", ""}));
}

TEST(PlanMaintenanceTest, AWindowEmptiesItsNodesAndGivesThemBack) {
  v1::Node node = NodeOf("n1");
  v1::Reservation window;
  window.set_name("firmware");
  window.set_kind(v1::MAINTENANCE);
  window.add_nodes("n1");
  window.set_start_unix_ms(absl::ToUnixMillis(kNow));
  window.set_end_unix_ms(absl::ToUnixMillis(kNow + absl::Hours(1)));
  EXPECT_THAT(PlanMaintenance({&node}, {&window}, kNow - absl::Hours(1)), IsEmpty());
  const auto changes = PlanMaintenance({&node}, {&window}, kNow - kMaintenanceLead);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_TRUE(changes[0].begin);
  EXPECT_EQ(changes[0].drain.deadline_unix_ms(), window.start_unix_ms());
  *node.mutable_drain() = changes[0].drain;
  EXPECT_THAT(PlanMaintenance({&node}, {&window}, kNow), IsEmpty());
  const auto after = PlanMaintenance({&node}, {&window}, kNow + absl::Hours(1));
  ASSERT_EQ(after.size(), 1u);
  EXPECT_FALSE(after[0].begin);
  EXPECT_EQ(PlanMaintenance({&node}, {}, kNow).size(), 1u) << "the window was deleted";
  node.mutable_drain()->set_by("root");
  EXPECT_THAT(PlanMaintenance({&node}, {}, kNow), IsEmpty());
}

StepTimes Times(const std::vector<double>& seconds_of_rank, int num_steps) {
  StepTimes times;
  for (size_t rank = 0; rank < seconds_of_rank.size(); ++rank) {
    for (int step = 0; step < num_steps; ++step) {
      times[static_cast<int>(rank)][step] = seconds_of_rank[rank];
    }
  }
  return times;
}

TEST(StragglerTest, ARankThatLagsForManyStepsIsOne) {
  const StragglerPolicy policy;
  EXPECT_THAT(FindStragglers(Times({1, 1.1, 1, 1.4}, 20), policy), IsEmpty());
  const auto found = FindStragglers(Times({1, 2.2, 1, 1.0}, 20), policy);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].rank, 1);
  EXPECT_NEAR(found[0].factor, 2.2, 1e-9);
}

TEST(StragglerTest, AHiccupAndTooFewStepsOrRanksAreNone) {
  const StragglerPolicy policy;
  EXPECT_THAT(FindStragglers(Times({1, 2, 1}, 19), policy), IsEmpty());
  EXPECT_THAT(FindStragglers(Times({1, 2}, 50), policy), IsEmpty());
  StepTimes times = Times({1, 2, 1}, 20);
  times[1][7] = 1;
  EXPECT_THAT(FindStragglers(times, policy), IsEmpty());
}

TEST(StragglerTest, ReadsTheRanksOutOfTheMetrics) {
  v1::MetricSeriesList metrics;
  for (const char* name : {"loss", "compute_seconds", "compute_seconds/rank2"}) {
    v1::MetricSeries* series = metrics.add_series();
    series->set_name(name);
    v1::MetricPoint* point = series->add_points();
    point->set_step(4);
    point->set_value(0.5);
    point->set_attempt(2);
  }
  const StepTimes times = StepTimesOf(metrics, 2);
  ASSERT_EQ(times.size(), 2u);
  EXPECT_EQ(times.at(2).at(4), 0.5);
  EXPECT_TRUE(StepTimesOf(metrics, 1).empty());
}

}  // namespace
}  // namespace oneai::fabric
