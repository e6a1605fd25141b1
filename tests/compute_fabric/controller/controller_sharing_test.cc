// Queues, preemption, elastic gangs, usage and retention, from submit to end.
#include <thread>

#include "absl/strings/str_join.h"
#include "base/store/memory_store.h"
#include "compute_fabric/controller/fabric_usage.h"
#include "compute_fabric/jobs/job_state.h"
#include "gmock/gmock.h"
#include "tests/compute_fabric/controller/fake_fabric.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using testing::FakeAgent;

class ControllerSharingTest : public testing::FakeFabric {
 protected:
  void SetUp() override { StartController(); }
  std::unique_ptr<Store> OpenStore() override { return NewMemoryStore(); }

  static v1::Queue QueueOfCpus(std::string path, int64_t nominal_cpus) {
    v1::Queue queue;
    queue.set_project(path);
    (*queue.mutable_nominal())["cpu"] = nominal_cpus * 1000;
    return queue;
  }
  std::string SubmitAs(const std::string& project, v1::JobSpec spec) {
    spec.set_project(project);
    v1::SubmitJobRequest request;
    request.set_request_id(absl::StrCat("sharing-", ++num_requests_));
    *request.mutable_spec() = spec;
    const absl::StatusOr<v1::SubmitJobResponse> job =
        core_->jobs.Submit(request, testing::Engineer("u", auth::v1::ENGINEER, "*"));
    EXPECT_OK(job);
    return job.ok() ? job->job().id() : "";
  }
  void ExitAll(const std::string& id, int code) {
    for (auto& agent : agents_) {
      for (const FakeAgent::Key& key : agent->Running()) {
        if (std::get<0>(key) == id) agent->Exit(id, std::get<1>(key), code);
      }
    }
  }
  void SaveCheckpoint(const std::string& id, const std::string& path) {
    ASSERT_OK(core_->state
                  .UpdateJob(id,
                             [&](v1::Job& job, EventDrafts& events) {
                               return ApplyCheckpoint(job, path, core_->state.Now(), events);
                             })
                  .status());
  }
};

TEST_F(ControllerSharingTest, AnImportantJobTakesThePlaceOfALesserOneOfItsQueue) {
  AddNode("node-a", 2000);
  const std::string low = SubmitAs("retail/nlp", Spec("low", 2, 1000));
  Rounds(3);
  ASSERT_EQ(JobOf(low).state(), v1::RUNNING);
  v1::JobSpec urgent = Spec("urgent", 2, 1000);
  urgent.set_priority_class("high");
  v1::PlanJobRequest plan;
  *plan.mutable_spec() = urgent;
  ASSERT_OK_AND_ASSIGN(const v1::PlanJobResponse what_if,
                       core_->jobs.Plan(plan, testing::Engineer()));
  EXPECT_THAT(what_if.preempts(), ElementsAre(AllOf(HasSubstr(low), HasSubstr("normal"))));
  const std::string high = SubmitAs("retail/nlp", urgent);
  Rounds(6);
  EXPECT_EQ(JobOf(high).state(), v1::RUNNING);
  EXPECT_EQ(JobOf(low).state(), v1::PENDING);
  EXPECT_EQ(JobOf(low).num_preemptions(), 1);
  EXPECT_EQ(JobOf(low).num_restarts(), 0);
  ExitAll(high, 0);
  Rounds(4);
  EXPECT_EQ(JobOf(low).state(), v1::RUNNING);
}

TEST_F(ControllerSharingTest, WhatWasLentComesBackAfterTheMinimumRuntime) {
  AddNode("node-a", 4000);
  ASSERT_OK(
      core_->queues.SetAll({QueueOfCpus("retail", 2), QueueOfCpus("bank", 2)}, testing::Admin())
          .status());
  const std::string borrower = SubmitAs("bank/risk", Spec("greedy", 4, 1000));
  Rounds(3);
  ASSERT_EQ(JobOf(borrower).state(), v1::RUNNING) << "the idle half of retail is lent";
  const std::string owner = SubmitAs("retail/nlp", Spec("owner", 2, 1000));
  Rounds(6);
  EXPECT_EQ(JobOf(owner).state(), v1::PENDING);
  EXPECT_EQ(JobOf(borrower).state(), v1::RUNNING) << "it may run for its minimum";
  clock_.Advance(absl::Minutes(11));
  for (auto& agent : agents_) ASSERT_OK(agent->Beat(core_->sessions));
  Rounds(8);
  EXPECT_EQ(JobOf(owner).state(), v1::RUNNING);
  EXPECT_EQ(JobOf(borrower).state(), v1::PENDING);
}

TEST_F(ControllerSharingTest, AnElasticGangStartsSmallAndGrowsAtACheckpoint) {
  AddNode("node-a", 4000);
  const std::string other = SubmitAs("retail/nlp", Spec("other", 2, 1000));
  Rounds(3);
  v1::JobSpec spec = Spec("elastic", 4, 1000);
  spec.set_num_tasks_min(2);
  const std::string id = SubmitAs("retail/nlp", spec);
  Rounds(3);
  ASSERT_EQ(JobOf(id).state(), v1::RUNNING);
  EXPECT_EQ(JobOf(id).num_tasks_now(), 2);
  EXPECT_EQ(Agent("node-a").started().back().env().at("WORLD_SIZE"), "2");
  EXPECT_EQ(Agent("node-a").started().back().env().at("ONEAI_NUM_TASKS_MAX"), "4");
  ExitAll(other, 0);
  clock_.Advance(absl::Minutes(6));
  for (auto& agent : agents_) ASSERT_OK(agent->Beat(core_->sessions));
  Rounds(4);
  EXPECT_EQ(JobOf(id).num_tasks_wanted(), 4);
  EXPECT_EQ(JobOf(id).attempt(), 1) << "until it has a checkpoint";
  SaveCheckpoint(id, "checkpoint-9");
  Rounds(5);
  EXPECT_EQ(JobOf(id).state(), v1::RUNNING);
  EXPECT_EQ(JobOf(id).num_tasks_now(), 4);
  EXPECT_EQ(JobOf(id).num_restarts(), 0);
}

TEST_F(ControllerSharingTest, WhyNamesEveryBlockerAndTheSmallestChange) {
  AddNode("node-a", 4000);
  const std::string first = SubmitAs("retail/nlp", Spec("first", 3, 1000));
  Rounds(3);
  const std::string second = SubmitAs("retail/nlp", Spec("second", 2, 1000));
  Rounds(2);
  ASSERT_OK_AND_ASSIGN(const v1::Explanation why, core_->jobs.Explain(second, testing::Engineer()));
  EXPECT_THAT(why.reasons(), Not(ElementsAre()));
  EXPECT_EQ(why.queue_position(), 1);
  EXPECT_THAT(why.smallest_change(), HasSubstr("would start now with"));
  EXPECT_THAT(core_->jobs.Explain(first, testing::Engineer()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("RUNNING")));
  ASSERT_OK_AND_ASSIGN(const v1::Job shown, core_->jobs.Get(second, testing::Engineer()));
  EXPECT_EQ(shown.smallest_change(), why.smallest_change());
  EXPECT_EQ(JobOf(second).reasons_size(), 0) << "reasons are computed, not written";
}

TEST_F(ControllerSharingTest, ATreeThatDoesNotAddUpIsRefusedAsAWhole) {
  AddNode("node-a", 4000);
  ASSERT_OK(core_->queues.Set(QueueOfCpus("retail", 2), testing::Admin()).status());
  EXPECT_THAT(core_->queues.SetAll({QueueOfCpus("bank", 1), QueueOfCpus("retail/nlp", 3)},
                                   testing::Admin()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("retail")));
  EXPECT_EQ(core_->state.queues().Find("bank").value, nullptr);
  v1::Queue negative = QueueOfCpus("retail/x", -1);
  EXPECT_THAT(core_->queues.Set(negative, testing::Admin()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nearest valid value is 0")));
  ASSERT_OK(core_->queues.Set(QueueOfCpus("retail/nlp", 1), testing::Admin()).status());
  EXPECT_THAT(core_->queues.Delete("retail", testing::Admin()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("retail/nlp")));
  const std::string id = SubmitAs("retail/nlp", Spec("job", 1, 1000));
  EXPECT_THAT(core_->queues.Delete("retail/nlp", testing::Admin()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(id)));
  EXPECT_THAT(core_->queues.Delete("retail/none", testing::Admin()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("retail/none")));
  EXPECT_THAT(core_->queues.Delete("retail/nlp", testing::Engineer()),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("alice")));
}

// No lock is held while queues are written, so the store must notice.
TEST_F(ControllerSharingTest, OfTwoChangesAtOnceThatDoNotAddUpOneIsRefused) {
  ASSERT_OK(core_->queues.Set(QueueOfCpus("retail", 2), testing::Admin()).status());
  for (int round = 0; round < 20; ++round) {
    const std::string paths[] = {"retail/a", "retail/b"};
    absl::Status outcomes[2];
    std::thread other([&] {
      outcomes[1] = core_->queues.Set(QueueOfCpus(paths[1], 2), testing::Admin()).status();
    });
    outcomes[0] = core_->queues.Set(QueueOfCpus(paths[0], 2), testing::Admin()).status();
    other.join();
    ASSERT_NE(outcomes[0].ok(), outcomes[1].ok()) << outcomes[0] << outcomes[1];
    const int winner = outcomes[0].ok() ? 0 : 1;
    EXPECT_EQ(outcomes[1 - winner].code(), absl::StatusCode::kInvalidArgument)
        << outcomes[1 - winner];
    ASSERT_OK(core_->queues.Delete(paths[winner], testing::Admin()));
  }
}

TEST_F(ControllerSharingTest, EveryUnitHasASandboxThatIsNotLent) {
  AddNode("node-a", 100'000);
  SubmitAs("retail/nlp", Spec("job", 1, 1000));
  SubmitAs("bank/risk", Spec("greedy", 1, 1000));
  Rounds(1);
  std::vector<std::string> sandboxes;
  for (const v1::Queue& queue : core_->queues.List(testing::Admin())) {
    if (queue.sandbox()) sandboxes.push_back(queue.project());
  }
  EXPECT_THAT(sandboxes, ElementsAre("bank/sandbox", "retail/sandbox"));
  v1::JobSpec rest = Spec("rest", 98, 1000);
  SubmitAs("bank/risk", rest);
  v1::JobSpec experiment = Spec("experiment", 1, 1000);
  experiment.set_queue("retail/sandbox");
  const std::string id = SubmitAs("retail/nlp", experiment);
  Rounds(4);
  EXPECT_EQ(JobOf(id).state(), v1::RUNNING);
}

TEST_F(ControllerSharingTest, UsageIsPricedAndSurvivesTheJobsDeletion) {
  options_.finished_jobs_max = 0;
  options_.policy.price_per_hour = {{"cpu", 3.6}};
  AddNode("node-a", 4000);
  const std::string id = SubmitAs("retail/nlp", Spec("train", 2, 1000));
  Rounds(21);
  const auto cpu = [&]() -> v1::FabricUsage {
    const auto usage = GetFabricUsage(core_->state, v1::GetFabricUsageRequest(), testing::Admin());
    EXPECT_OK(usage);
    for (const v1::FabricUsage& record : usage->records()) {
      if (record.resource() == "cpu") return record;
    }
    return v1::FabricUsage();
  };
  EXPECT_GT(cpu().seconds(), 15) << "what runs counts up to now";
  ExitAll(id, 0);
  Round();
  const v1::FabricUsage before = cpu();
  EXPECT_NEAR(before.seconds(), 20, 3);
  EXPECT_EQ(before.jobs(), 1);
  clock_.Advance(absl::Minutes(2));
  Rounds(2);
  EXPECT_EQ(core_->state.jobs().Find(id).value, nullptr) << "more finished jobs than are kept";
  EXPECT_DOUBLE_EQ(cpu().seconds(), before.seconds());
  EXPECT_EQ(cpu().jobs(), 1);
  EXPECT_EQ(cpu().user(), "u");
  v1::GetFabricUsageRequest theirs;
  EXPECT_EQ(
      GetFabricUsage(core_->state, theirs, testing::Engineer("bob", auth::v1::ENGINEER, "bank"))
          ->records_size(),
      0);
}

TEST_F(ControllerSharingTest, RetentionNeverTakesAnUnfinishedJobsDependency) {
  options_.finished_jobs_max = 0;
  AddNode("node-a", 4000);
  const std::string first = SubmitAs("retail/nlp", Spec("first", 1, 1000));
  const std::string lone = SubmitAs("retail/nlp", Spec("lone", 1, 1000));
  Rounds(3);
  v1::JobSpec later = Spec("later", 4, 1000);
  v1::Dependency& dependency = *later.add_depends_on();
  dependency.set_job_id(first);
  const std::string second = SubmitAs("retail/nlp", later);
  v1::JobSpec blocker = Spec("blocker", 4, 1000);
  blocker.set_priority_class("high");
  ExitAll(first, 0);
  ExitAll(lone, 0);
  SubmitAs("retail/nlp", blocker);
  Rounds(2);
  clock_.Advance(absl::Minutes(2));
  Rounds(2);
  EXPECT_EQ(core_->state.jobs().Find(lone).value, nullptr);
  EXPECT_NE(core_->state.jobs().Find(first).value, nullptr);
  EXPECT_NE(core_->state.jobs().Find(second).value, nullptr);
}

TEST_F(ControllerSharingTest, SharesOfADeviceStayAwayFromSlurmsNodes) {
  FakeAgent& slurm = AddNode("slurm.a", 8000, {"gpu", "gpu", "gpu", "gpu"});
  slurm.info().set_launcher("slurm");
  ASSERT_OK(slurm.Beat(core_->sessions));
  v1::JobSpec share = Spec("share", 1, 1000);
  v1::DeviceRequest& half = *share.mutable_resources()->add_devices();
  half.set_kind("gpu");
  half.set_count(1);
  half.set_milli(500);
  EXPECT_THAT(Submit(share), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("shares")));
  AddNode("node-a", 4000, {"gpu"});
  std::vector<std::string> shares;
  for (int i = 0; i < 3; ++i) shares.push_back(SubmitAs("retail/nlp", share));
  v1::JobSpec whole = Spec("whole", 4, 1000);
  whole.mutable_resources()->add_devices()->set_kind("gpu");
  whole.mutable_resources()->mutable_devices(0)->set_count(1);
  const std::string gang = SubmitAs("retail/nlp", whole);
  Rounds(3);
  int num_placed = 0;
  for (const std::string& id : shares) {
    const v1::Job half_a_device = JobOf(id);
    num_placed += half_a_device.tasks_size();
    for (const v1::Task& task : half_a_device.tasks()) EXPECT_EQ(task.node(), "node-a");
  }
  EXPECT_EQ(num_placed, 2);
  const v1::Job placed = JobOf(gang);
  ASSERT_EQ(placed.tasks_size(), 4);
  for (const v1::Task& task : placed.tasks()) EXPECT_EQ(task.node(), "slurm.a");
}

TEST_F(ControllerSharingTest, AReservationGoesADayAfterItsEnd) {
  AddNode("node-a", 4000);
  v1::Reservation reservation;
  reservation.set_name("launch");
  reservation.set_end_unix_ms(absl::ToUnixMillis(clock_.Now() + absl::Hours(1)));
  ASSERT_OK(core_->state.CommitReservation("launch", &reservation, 0, {}));
  clock_.Advance(absl::Hours(24));
  Rounds(1);
  EXPECT_NE(core_->state.reservations().Find("launch").value, nullptr);
  clock_.Advance(absl::Hours(2));
  Rounds(1);
  EXPECT_EQ(core_->state.reservations().Find("launch").value, nullptr);
}

TEST_F(ControllerSharingTest, WhatTheFabricDoesNotHaveIsRefusedWithTheNearestThatItHas) {
  AddNode("node-a", 4000, {"nvidia-h100-80g"});
  v1::JobSpec kind = Spec("kind", 1, 1000);
  v1::DeviceRequest& device = *kind.mutable_resources()->add_devices();
  device.set_kind("nvidia-h10-80g");
  device.set_count(1);
  EXPECT_THAT(Submit(kind), StatusIs(absl::StatusCode::kInvalidArgument,
                                     HasSubstr("nearest known kind is nvidia-h100-80g")));
  v1::JobSpec topology = Spec("topology", 5, 1000);
  topology.mutable_topology()->set_level(v1::HOST);
  topology.mutable_topology()->set_required(true);
  AddNode("node-b", 4000);
  EXPECT_THAT(Submit(topology), StatusIs(absl::StatusCode::kInvalidArgument,
                                         AllOf(HasSubstr("topology"), HasSubstr("takes 4 tasks"))));
  v1::JobSpec queue = Spec("queue", 1, 1000);
  queue.set_queue("retail/sandbx");
  EXPECT_THAT(Submit(queue), StatusIs(absl::StatusCode::kInvalidArgument,
                                      HasSubstr("nearest valid value is \"retail/sandbox\"")));
  v1::JobSpec reservation = Spec("reservation", 1, 1000);
  reservation.set_reservation("launch");
  EXPECT_THAT(Submit(reservation),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("there is none")));
}

}  // namespace
}  // namespace oneai::fabric
