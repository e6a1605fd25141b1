// Arrays, sweeps, dependencies, warnings and usage, from submit to end.
#include "absl/strings/str_join.h"
#include "base/store/memory_store.h"
#include "compute_fabric/controller/job_gates.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"
#include "gmock/gmock.h"
#include "tests/compute_fabric/controller/fake_fabric.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using testing::FakeAgent;

class ControllerArraysTest : public testing::FakeFabric {
 protected:
  void SetUp() override { StartController(); }
  std::unique_ptr<Store> OpenStore() override { return NewMemoryStore(); }

  v1::JobSpec Array(const std::string& indices) {
    v1::JobSpec spec = Spec("batch", 1, 1000);
    spec.mutable_array()->set_indices(indices);
    return spec;
  }
  std::vector<std::string> Ids(const v1::SubmitJobResponse& response) {
    return {response.job_ids().begin(), response.job_ids().end()};
  }
  std::string StatesOf(const std::vector<std::string>& ids) {
    return absl::StrJoin(ids, " ", [&](std::string* out, const std::string& id) {
      absl::StrAppend(out, JobStateName(JobOf(id).state()));
    });
  }
  void DependOn(v1::JobSpec& spec, const std::string& id, v1::DependencyCondition condition) {
    v1::Dependency& dependency = *spec.add_depends_on();
    dependency.set_job_id(id);
    dependency.set_condition(condition);
  }
  void ExitWherever(const std::string& id, int code) {
    for (auto& agent : agents_) agent->Exit(id, 0, code);
  }
  // An array of three jobs under the request "cut", of which the first was written when the
  // controller died. The first one's id.
  std::string BeginArray() {
    v1::JobArray begun;
    begun.set_id("array-0123456789");
    begun.set_project("retail/nlp");
    begun.set_num_jobs(3);
    SetTime(begun.mutable_submitted(), clock_.Now());
    EXPECT_OK(core_->state.PutArray(begun, 0, RequestKey("alice", "cut"), {}));
    v1::Job first;
    first.set_id(IdOfArrayJob(begun.id(), 0));
    first.set_array_id(begun.id());
    first.set_state(v1::PENDING);
    first.set_artifact_dir((options_.artifact_dir / first.id()).string());
    *first.mutable_spec() = Spec("batch", 1, 1000);
    EXPECT_OK(core_->state.CreateJobs({first}, Transaction(), {}));
    return first.id();
  }
};

TEST_F(ControllerArraysTest, AnArrayIsOneJobAnIndexAndTellsThemApart) {
  FakeAgent& a = AddNode("node-a", 8000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse response, Submit(Array("2,5"), "once"));
  ASSERT_EQ(response.job_ids_size(), 2);
  EXPECT_THAT(response.array_id(), HasSubstr("array-"));
  EXPECT_EQ(response.job().id(), response.job_ids(0));
  Rounds(3);
  EXPECT_EQ(StatesOf(Ids(response)), "RUNNING RUNNING");
  ASSERT_EQ(a.started().size(), 2u);
  std::set<std::string> indices;
  for (const v1::TaskAssignment& task : a.started()) {
    indices.insert(task.env().at("ONEAI_ARRAY_INDEX"));
    EXPECT_EQ(task.env().at("ONEAI_ARRAY_ID"), response.array_id());
  }
  EXPECT_THAT(indices, ElementsAre("2", "5"));
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse again, Submit(Array("2,5"), "once"));
  EXPECT_TRUE(again.already_existed());
  EXPECT_EQ(Ids(again), Ids(response));
  v1::ListJobsRequest list;
  list.set_array_id(response.array_id());
  EXPECT_EQ(core_->jobs.List(list, testing::Engineer()).jobs_size(), 2);
  list.set_limit(1);
  EXPECT_EQ(core_->jobs.List(list, testing::Engineer()).num_more(), 1);
}

TEST_F(ControllerArraysTest, ABoundedArrayRunsSoManyAtOnceInOrder) {
  AddNode("node-a", 8000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse response, Submit(Array("0-3%2")));
  const std::vector<std::string> ids = Ids(response);
  Rounds(4);
  EXPECT_EQ(StatesOf(ids), "RUNNING RUNNING PENDING PENDING");
  EXPECT_THAT(GatesOf(core_->state, JobOf(ids[2])),
              ElementsAre(HasSubstr("runs 2 of at most 2 jobs at once")));
  ExitWherever(ids[1], 0);
  Rounds(4);
  EXPECT_EQ(StatesOf(ids), "RUNNING SUCCEEDED RUNNING PENDING");
}

TEST_F(ControllerArraysTest, ACutOffArrayDoesNotRunAndTheSameRequestCompletesIt) {
  AddNode("node-a", 8000);
  const std::string first = BeginArray();
  Rounds(3);
  EXPECT_EQ(JobOf(first).state(), v1::PENDING);
  EXPECT_THAT(GatesOf(core_->state, JobOf(first)), ElementsAre(HasSubstr("still being written")));
  EXPECT_THAT(Submit(Array("0-5"), "cut"),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("another array")));
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse response, Submit(Array("0-2"), "cut"));
  EXPECT_EQ(response.array_id(), "array-0123456789");
  ASSERT_EQ(response.job_ids_size(), 3);
  EXPECT_EQ(response.job_ids(0), first);
  Rounds(3);
  EXPECT_EQ(StatesOf(Ids(response)), "RUNNING RUNNING RUNNING");
}

// Found by simulation: refused when it was repeated, its jobs waited for the rest for ever.
TEST_F(ControllerArraysTest, ACutOffArrayIsCompletedAlthoughItWouldBeRefusedNow) {
  AddNode("node-a", 8000);
  const std::string first = BeginArray();
  v1::Queue queue;
  queue.set_project("retail/nlp");
  queue.set_cpu_milli_limit(500);
  ASSERT_OK(core_->queues.Set(queue, testing::Admin()).status());
  EXPECT_THAT(Submit(Array("0-2"), "new"),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("quota")));
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse response, Submit(Array("0-2"), "cut"));
  EXPECT_EQ(response.job_ids_size(), 3);
  EXPECT_EQ(response.job_ids(0), first);
}

TEST_F(ControllerArraysTest, ALargeArrayIsWrittenInSeveralTransactions) {
  AddNode("node-a", 8000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse response, Submit(Array("0-249%1")));
  EXPECT_EQ(response.job_ids_size(), 250);
  EXPECT_EQ(core_->state.job_index().ProgressOf(response.array_id()).num_unfinished, 250);
  v1::CancelJobRequest cancel;
  cancel.set_id(response.array_id());
  ASSERT_OK(core_->jobs.Cancel(cancel, testing::Engineer()).status());
  EXPECT_EQ(core_->state.job_index().ProgressOf(response.array_id()).num_unfinished, 0);
}

TEST_F(ControllerArraysTest, ASweepPutsItsValuesIntoCommandAndEnvironment) {
  FakeAgent& a = AddNode("node-a", 8000);
  v1::JobSpec spec = Spec("sweep", 1, 1000);
  spec.set_command(0, "train");
  spec.add_command("--lr=${lr}");
  v1::SweepParameter& lr = *spec.mutable_sweep()->add_parameters();
  lr.set_name("lr");
  lr.add_values("0.1");
  lr.add_values("0.2");
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse response, Submit(spec));
  Rounds(3);
  ASSERT_EQ(a.started().size(), 2u);
  std::set<std::string> commands;
  for (const v1::TaskAssignment& task : a.started())
    commands.insert(task.command(1) + " " + task.env().at("ONEAI_SWEEP_LR"));
  EXPECT_THAT(commands, ElementsAre("--lr=0.1 0.1", "--lr=0.2 0.2"));
  EXPECT_EQ(JobOf(response.job_ids(1)).sweep_values().at("lr"), "0.2");
}

TEST_F(ControllerArraysTest, AWrongPointOfASweepIsNamed) {
  v1::JobSpec spec = Spec("sweep", 1, 1000);
  spec.mutable_env()->insert({"X", "${big}"});
  v1::SweepParameter& big = *spec.mutable_sweep()->add_parameters();
  big.set_name("big");
  big.add_values("1");
  spec.set_num_tasks(0);
  EXPECT_THAT(Submit(spec), StatusIs(absl::StatusCode::kInvalidArgument,
                                     AllOf(HasSubstr("array index 0 (big=1)"),
                                           HasSubstr("num_tasks: 0 is out of range"))));
}

TEST_F(ControllerArraysTest, AfterOkWaitsForSuccessAndIsCancelledWithoutIt) {
  AddNode("node-a", 8000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse first, Submit(Spec("first", 1, 1000)));
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse other, Submit(Spec("other", 1, 1000)));
  v1::JobSpec spec = Spec("second", 1, 1000);
  DependOn(spec, first.job().id(), v1::AFTER_OK);
  DependOn(spec, other.job().id(), v1::AFTER_ANY);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse second, Submit(spec));
  v1::JobSpec hopeless = Spec("third", 1, 1000);
  DependOn(hopeless, other.job().id(), v1::AFTER_OK);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse third, Submit(hopeless));
  v1::JobSpec chained = Spec("fourth", 1, 1000);
  DependOn(chained, third.job().id(), v1::DEPENDENCY_CONDITION_UNSPECIFIED);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse fourth, Submit(chained));
  Rounds(3);
  EXPECT_EQ(JobOf(second.job().id()).state(), v1::PENDING);
  ExitWherever(first.job().id(), 0);
  Rounds(3);
  EXPECT_THAT(GatesOf(core_->state, JobOf(second.job().id())),
              ElementsAre(AllOf(HasSubstr(other.job().id()), HasSubstr("afterany"))));
  ExitWherever(other.job().id(), 1);
  Rounds(4);
  EXPECT_EQ(JobOf(second.job().id()).state(), v1::RUNNING);
  EXPECT_EQ(JobOf(third.job().id()).state(), v1::CANCELLED);
  EXPECT_THAT(JobOf(third.job().id()).reasons(0), HasSubstr("only after " + other.job().id()));
  EXPECT_EQ(JobOf(fourth.job().id()).state(), v1::CANCELLED) << "and so on down the chain";
}

TEST_F(ControllerArraysTest, AJobMayDependOnAWholeArray) {
  AddNode("node-a", 8000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse array, Submit(Array("0-1")));
  v1::JobSpec spec = Spec("reduce", 1, 1000);
  DependOn(spec, array.array_id(), v1::AFTER_OK);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse reduce, Submit(spec));
  Rounds(3);
  ExitWherever(array.job_ids(0), 0);
  Rounds(3);
  EXPECT_THAT(GatesOf(core_->state, JobOf(reduce.job().id())),
              ElementsAre(HasSubstr("1 of 2 jobs have not ended")));
  ExitWherever(array.job_ids(1), 0);
  Rounds(3);
  EXPECT_EQ(JobOf(reduce.job().id()).state(), v1::RUNNING);
}

TEST_F(ControllerArraysTest, ImpossibleDependenciesAreRefusedWithTheReason) {
  AddNode("node-a", 8000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse failed, Submit(Spec("first", 1, 1000)));
  v1::CancelJobRequest cancel;
  cancel.set_id(failed.job().id());
  ASSERT_OK(core_->jobs.Cancel(cancel, testing::Engineer()).status());
  v1::JobSpec unknown = Spec("next", 1, 1000);
  DependOn(unknown, "job-nothere", v1::AFTER_OK);
  EXPECT_THAT(Submit(unknown), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("depends_on[0]: no job or array job-nothere")));
  v1::JobSpec never = Spec("next", 1, 1000);
  DependOn(never, failed.job().id(), v1::AFTER_OK);
  EXPECT_THAT(Submit(never), StatusIs(absl::StatusCode::kInvalidArgument,
                                      AllOf(HasSubstr("CANCELLED"),
                                            HasSubstr("nearest valid value is afterany"))));
  v1::SubmitJobRequest theirs;
  theirs.set_request_id("theirs");
  *theirs.mutable_spec() = never;
  theirs.mutable_spec()->set_project("bank/risk");
  EXPECT_THAT(core_->jobs.Submit(theirs, testing::Engineer("bob", auth::v1::ENGINEER, "bank")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no job or array")))
      << "a job of another unit is not there for bob";
}

TEST_F(ControllerArraysTest, AWarnedTaskIsToldOnceAndStopsWhenTheTimeIsOver) {
  FakeAgent& a = AddNode("node-a", 2000);
  v1::JobSpec spec = Spec("train", 1, 1000);
  spec.mutable_preemption()->set_warning_signal(10);
  spec.mutable_preemption()->set_warning_ms(2000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse job, Submit(spec));
  const std::string id = job.job().id();
  Rounds(3);
  const int64_t desired = core_->state.DesiredRevision("node-a");
  ASSERT_OK(core_->state
                .UpdateJob(id,
                           [&](v1::Job& copy, EventDrafts& events) {
                             return ApplyPreempt(copy, v1::STOP_PREEMPTED, "job-9 needs it",
                                                 core_->state.Now(), events);
                           })
                .status());
  EXPECT_GT(core_->state.DesiredRevision("node-a"), desired) << "the node must hear of it";
  Rounds(3);
  EXPECT_EQ(JobOf(id).state(), v1::RUNNING);
  EXPECT_EQ(a.num_running(), 1);
  Rounds(4);
  EXPECT_EQ(JobOf(id).num_preemptions(), 1);
  EXPECT_EQ(JobOf(id).num_restarts(), 0);
}

TEST_F(ControllerArraysTest, UsageIsPartOfTheJobAndSurvivesARestart) {
  AddNode("node-a", 2000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse job, Submit(Spec("train", 1, 1000)));
  const std::string id = job.job().id();
  Rounds(21);
  ExitWherever(id, 0);
  Rounds(2);
  ASSERT_EQ(JobOf(id).state(), v1::SUCCEEDED);
  ASSERT_EQ(JobOf(id).usage_size(), 1) << JobOf(id).ShortDebugString();
  EXPECT_EQ(JobOf(id).usage(0).resource(), "cpu");
  EXPECT_NEAR(JobOf(id).usage(0).seconds(), 10, 1);
}

}  // namespace
}  // namespace oneai::fabric
