#include <string>
#include <vector>

#include "compute_fabric/simulation/ground_truth.h"
#include "compute_fabric/simulation/run.h"
#include "compute_fabric/simulation/sim_store.h"
#include "compute_fabric/simulation/simulator.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric::simulation {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Idle final : public Process {};

TEST(SimulatorTest, EventsComeInTheOrderOfTimeThenOfTheCalls) {
  Simulator simulator(1);
  std::vector<int> seen;
  simulator.After(absl::Seconds(2), [&] { seen.push_back(3); });
  simulator.After(absl::Seconds(1), [&] { seen.push_back(1); });
  simulator.After(absl::Seconds(1), [&] { seen.push_back(2); });
  simulator.RunUntil(simulator.Now() + absl::Seconds(5));
  EXPECT_THAT(seen, ElementsAre(1, 2, 3));
}

TEST(SimulatorTest, AFiberThatSleepsLetsOthersGoOn) {
  Simulator simulator(1);
  Idle owner;
  std::vector<std::string> seen;
  for (const int ms : {20, 10}) {
    simulator.Spawn(&owner, [&simulator, &seen, ms] {
      simulator.Sleep(absl::Milliseconds(ms));
      seen.push_back(absl::StrCat(ms));
    });
  }
  simulator.RunUntil(simulator.Now() + absl::Seconds(1));
  EXPECT_THAT(seen, ElementsAre("10", "20"));
}

TEST(SimulatorTest, ASuspendedProcessGoesOnWhereItWasWhenItWakes) {
  Simulator simulator(1);
  Idle owner;
  absl::Time woke;
  const absl::Time start = simulator.Now();
  simulator.Spawn(&owner, [&] {
    simulator.Sleep(absl::Milliseconds(10));
    woke = simulator.Now();
  });
  simulator.After(absl::Milliseconds(5), [&] { simulator.Pause(&owner, absl::Seconds(3)); });
  simulator.RunUntil(start + absl::Seconds(10));
  EXPECT_EQ(woke - start, absl::Milliseconds(3005));
}

TEST(SimStoreTest, ACommitCutShortByAKillIsDurableOrNotButNeverAcknowledged) {
  int num_durable = 0;
  for (uint64_t seed = 1; seed <= 64; ++seed) {
    Simulator simulator(seed);
    StoreServer server(&simulator);
    const StoreLink link;
    Idle owner;
    SimStore store(&simulator, &server, &link, &owner);
    absl::StatusOr<int64_t> result = 0;
    simulator.Spawn(&owner, [&] { result = store.Commit(Transaction().If("k", 0).Put("k", "v")); });
    simulator.RunUntil(simulator.Now());
    simulator.Kill(&owner);
    EXPECT_FALSE(result.ok());
    num_durable += server.Get("k").ok() ? 1 : 0;
  }
  EXPECT_GT(num_durable, 0);
  EXPECT_LT(num_durable, 64);
}

TEST(SimStoreTest, ALeaseEndsInVirtualTimeWithItsKeys) {
  Simulator simulator(1);
  StoreServer server(&simulator);
  ASSERT_OK_AND_ASSIGN(const int64_t lease, server.GrantLease(absl::Seconds(2)));
  ASSERT_OK(server.Commit(Transaction().Put("leader", "a", lease)).status());
  simulator.RunUntil(simulator.Now() + absl::Seconds(1));
  ASSERT_OK(server.RenewLease(lease));
  simulator.RunUntil(simulator.Now() + absl::Milliseconds(1500));
  EXPECT_OK(server.Get("leader").status());
  simulator.RunUntil(simulator.Now() + absl::Seconds(1));
  EXPECT_TRUE(absl::IsNotFound(server.Get("leader").status()));
}

// The checks must bite: each promise broken on purpose.
class GroundTruthTest : public ::testing::Test {
 protected:
  GroundTruthTest() : truth_(&simulator_) {}

  static v1::Job Gang(const std::string& id, int attempt) {
    v1::Job job;
    job.set_id(id);
    job.set_state(v1::RUNNING);
    job.set_attempt(attempt);
    job.mutable_spec()->set_gang(true);
    job.mutable_spec()->set_num_tasks(2);
    job.mutable_spec()->set_project("retail/nlp");
    job.mutable_spec()->mutable_resources()->set_cpu_milli(1000);
    return job;
  }
  static void AddTask(v1::Job& job, int rank, const std::string& node, int milli = 0) {
    v1::Task* task = job.add_tasks();
    task->set_rank(rank);
    task->set_attempt(job.attempt());
    task->set_state(v1::TASK_RUNNING);
    task->set_node(node);
    task->add_device_ids("dev-0");
    if (milli == 0) return;
    v1::DeviceGrant* grant = task->add_grants();
    grant->set_id("dev-0");
    grant->set_milli(milli);
  }
  void Commit(const v1::Job& job) {
    KeyValue item{"jobs/" + job.id(), job.SerializeAsString(), ++revision_, revision_};
    truth_.Committed(revision_, {{WatchEvent::Kind::kPut, item}});
  }
  template <typename Message>
  void Put(const std::string& key, const Message& message) {
    const KeyValue item{key, message.SerializeAsString(), ++revision_, revision_};
    truth_.Committed(revision_, {{WatchEvent::Kind::kPut, item}});
  }
  static v1::Node ReadyNode(const std::string& name) {
    v1::Node node;
    node.mutable_info()->set_name(name);
    node.set_state(v1::READY);
    return node;
  }
  void SetUp() override {
    for (const char* name : {"node-1", "node-2", "node-3"})
      Put(absl::StrCat("nodes/", name), ReadyNode(name));
  }
  void Start(const std::string& node, const std::string& job, int rank, int attempt) {
    TaskOrder order;
    order.key = {job, rank, attempt};
    truth_.ProcessStarted(node, order);
  }
  std::string FirstBroken() const {
    return truth_.violations().empty() ? "" : truth_.violations()[0].invariant;
  }

  Simulator simulator_{1};
  GroundTruth truth_;
  int64_t revision_ = 0;
};

TEST_F(GroundTruthTest, AnAttemptThatStartsAgainIsRunTwice) {
  Commit(Gang("job-a", 1));
  Start("node-1", "job-a", 0, 1);
  truth_.ProcessEnded("node-1", {"job-a", 0, 1});
  EXPECT_EQ(FirstBroken(), "");
  Start("node-1", "job-a", 0, 1);
  EXPECT_EQ(FirstBroken(), "run twice");
}

TEST_F(GroundTruthTest, RanksOfTwoAttemptsOfAGangMustNotMeet) {
  Commit(Gang("job-a", 1));
  Start("node-1", "job-a", 0, 1);
  Start("node-2", "job-a", 1, 1);
  EXPECT_EQ(FirstBroken(), "");
  Start("node-3", "job-a", 0, 2);
  EXPECT_EQ(FirstBroken(), "run twice");
}

TEST_F(GroundTruthTest, SharesOfADeviceMustNotExceedIt) {
  v1::Job small = Gang("job-a", 1);
  AddTask(small, 0, "node-1", 600);
  v1::Job other = Gang("job-b", 1);
  AddTask(other, 0, "node-1", 400);
  Commit(small);
  Commit(other);
  EXPECT_EQ(FirstBroken(), "");
  v1::Job third = Gang("job-c", 1);
  AddTask(third, 0, "node-1", 100);
  Commit(third);
  EXPECT_EQ(FirstBroken(), "no device held twice");
}

TEST_F(GroundTruthTest, WhatIsPlacedMustFitTheLimitOfItsQueue) {
  v1::Queue queue;
  queue.set_project("retail/nlp");
  queue.set_cpu_milli_limit(1500);
  truth_.Committed(
      1, {{WatchEvent::Kind::kPut, {"queues/retail/nlp", queue.SerializeAsString(), 1, 1}}});
  v1::Job job = Gang("job-a", 1);
  AddTask(job, 0, "node-1");
  Commit(job);
  EXPECT_EQ(FirstBroken(), "");
  AddTask(job, 1, "node-2");
  Commit(job);
  EXPECT_EQ(FirstBroken(), "quotas are held");
}

TEST_F(GroundTruthTest, AQueueMayNotBorrowMoreThanItMay) {
  v1::Queue queue;
  queue.set_project("retail/nlp");
  (*queue.mutable_nominal())["cpu"] = 1000;
  (*queue.mutable_borrowing_limit())["cpu"] = 500;
  Put("queues/retail/nlp", queue);
  v1::Job job = Gang("job-a", 1);
  AddTask(job, 0, "node-1");
  Commit(job);
  EXPECT_EQ(FirstBroken(), "");
  AddTask(job, 1, "node-2");
  Commit(job);
  EXPECT_EQ(FirstBroken(), "quotas are held");
}

TEST_F(GroundTruthTest, NothingIsPlacedOnADrainingNodeOrABrokenDevice) {
  v1::Job job = Gang("job-a", 1);
  AddTask(job, 0, "node-1");
  Commit(job);
  v1::Node draining = ReadyNode("node-1");
  draining.set_state(v1::DRAINING);
  draining.mutable_drain()->set_reason("maintenance");
  Put("nodes/node-1", draining);
  Commit(job);  // what is there may stay
  EXPECT_EQ(FirstBroken(), "");
  v1::Job other = Gang("job-b", 1);
  AddTask(other, 0, "node-1");
  Commit(other);
  EXPECT_EQ(FirstBroken(), "nothing is placed on a node out of service");
}

TEST_F(GroundTruthTest, OfABoundedArrayOnlySoManyRunAtOnce) {
  v1::JobArray array;
  array.set_id("array-a");
  array.set_whole(true);
  array.set_running_max(1);
  Put("arrays/array-a", array);
  for (int i = 0; i < 2; ++i) {
    v1::Job job = Gang(absl::StrCat("job-", i), 1);
    job.set_array_id("array-a");
    AddTask(job, 0, absl::StrCat("node-", 1 + i));
    EXPECT_EQ(FirstBroken(), "");
    Commit(job);
  }
  EXPECT_EQ(FirstBroken(), "of an array only so many run at once");
}

TEST_F(GroundTruthTest, AJobRunsAfterWhatItDependsOn) {
  v1::Job first = Gang("job-a", 1);
  Commit(first);
  v1::Job second = Gang("job-b", 1);
  v1::Dependency& dependency = *second.mutable_spec()->add_depends_on();
  dependency.set_job_id("job-a");
  dependency.set_condition(v1::AFTER_OK);
  AddTask(second, 0, "node-1");
  Commit(second);
  EXPECT_EQ(FirstBroken(), "nothing runs before what it depends on");
}

TEST_F(GroundTruthTest, AnAcknowledgedJobMustBeDurable) {
  truth_.SubmitAcknowledged("request-1", "job-a");
  EXPECT_EQ(FirstBroken(), "no acknowledged job lost");
}

TEST(RunTest, ASeedGivesTheSameTraceEveryTime) {
  RunOptions options{.seed = 5, .fault_time = absl::Minutes(2)};
  ASSERT_OK_AND_ASSIGN(options.scenario, FindScenario("everything"));
  const RunResult first = RunSeed(options);
  const RunResult again = RunSeed(options);
  EXPECT_EQ(first.trace_hash, again.trace_hash);
  EXPECT_EQ(first.num_events, again.num_events);
  EXPECT_GT(first.num_starts, 0);
  options.seed = 6;
  EXPECT_NE(RunSeed(options).trace_hash, first.trace_hash);
}

TEST(RunTest, EveryScenarioKeepsEveryPromise) {
  for (const Scenario& scenario : Scenarios()) {
    RunOptions options{.seed = 11, .scenario = scenario, .fault_time = absl::Minutes(2)};
    const RunResult result = RunSeed(options);
    EXPECT_THAT(result.violation, IsEmpty())
        << result.story << "replay: " << ReplayCommand(result) << " --fault-minutes 2";
    EXPECT_GT(result.num_jobs, 0) << scenario.name;
  }
}

TEST(RunTest, TheReplayCommandNamesSeedAndScenario) {
  EXPECT_THAT(ReplayCommand({.seed = 17, .scenario = "disks"}),
              HasSubstr("oneai-dst --seed 17 --scenario disks"));
  EXPECT_THAT(FindScenario("sunny").status().ToString(), HasSubstr("one of: calm, crashes"));
}

}  // namespace
}  // namespace oneai::fabric::simulation
