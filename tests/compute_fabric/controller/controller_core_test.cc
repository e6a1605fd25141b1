// The control plane against agents in the same process: what users and nodes can rely on.
#include "absl/strings/str_join.h"
#include "base/store/memory_store.h"
#include "compute_fabric/controller/log_follower.h"
#include "compute_fabric/controller/queue_requests.h"
#include "compute_fabric/jobs/placed_attempt.h"
#include "gmock/gmock.h"
#include "tests/compute_fabric/controller/fake_fabric.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using testing::FakeAgent;

class ControllerCoreTest : public testing::FakeFabric {
 protected:
  void SetUp() override { StartController(); }
  std::unique_ptr<Store> OpenStore() override { return NewMemoryStore(); }

  std::string ReasonsOf(const std::string& id) {
    return absl::StrJoin(core_->jobs.Describe(JobOf(id)).reasons(), "; ");
  }
  void Append(const FakeAgent& agent, const std::string& job_id, int rank, v1::LogStream stream,
              std::string text) {
    v1::AppendLogRequest request;
    request.mutable_task()->set_job_id(job_id);
    request.mutable_task()->set_rank(rank);
    request.mutable_task()->set_attempt(1);
    request.set_stream(stream);
    request.set_data(text);
    request.set_eof(true);
    ASSERT_OK_AND_ASSIGN(const v1::AppendLogResponse response,
                         core_->sessions.AppendLog(request, agent.name()));
    EXPECT_EQ(response.size(), static_cast<int64_t>(text.size()));
  }
};

TEST_F(ControllerCoreTest, AGangRunsOnTwoNodesWithTorchrunsEnvironmentAndSucceeds) {
  FakeAgent& a = AddNode("node-a", 2000);
  FakeAgent& b = AddNode("node-b", 2000);
  v1::JobSpec spec = Spec("train", 2, 1000);
  spec.set_spread(v1::NODE);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse submitted, Submit(spec));
  const std::string id = submitted.job().id();
  Rounds(3);
  EXPECT_EQ(JobOf(id).state(), v1::RUNNING);
  ASSERT_EQ(a.started().size(), 1u);
  ASSERT_EQ(b.started().size(), 1u);
  const bool first_is_a = JobOf(id).tasks(0).node() == "node-a";
  FakeAgent& first = first_is_a ? a : b;
  FakeAgent& second = first_is_a ? b : a;
  const auto& env = second.started()[0].env();
  EXPECT_EQ(env.at("RANK"), "1");
  EXPECT_EQ(env.at("WORLD_SIZE"), "2");
  EXPECT_EQ(env.at("LOCAL_RANK"), "0");
  EXPECT_EQ(env.at("LOCAL_WORLD_SIZE"), "1");
  EXPECT_EQ(env.at("NODE_RANK"), "1");
  EXPECT_EQ(env.at("MASTER_ADDR"), "127.0.0.1");
  EXPECT_EQ(env.at("MASTER_PORT"), first.started()[0].env().at("ONEAI_PORT_0"));
  EXPECT_EQ(env.at("ONEAI_JOB_ID"), id);
  EXPECT_EQ(env.at("ONEAI_ATTEMPT"), "1");
  EXPECT_TRUE(first.Exit(id, 0, 0));
  EXPECT_TRUE(second.Exit(id, 1, 0));
  Rounds(2);
  EXPECT_EQ(JobOf(id).state(), v1::SUCCEEDED);
}

TEST_F(ControllerCoreTest, AFailingRankStopsTheRestAndTheGangRestarts) {
  FakeAgent& a = AddNode("node-a", 4000);
  v1::JobSpec spec = Spec("train", 2, 1000);
  spec.mutable_restart()->set_max_restarts(1);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse submitted, Submit(spec));
  const std::string id = submitted.job().id();
  Rounds(3);
  a.Exit(id, 1, 9);
  Rounds(2);
  EXPECT_EQ(a.num_running(), 0);
  EXPECT_EQ(JobOf(id).state(), v1::BACKOFF);
  Rounds(5);
  EXPECT_EQ(JobOf(id).state(), v1::RUNNING);
  EXPECT_EQ(JobOf(id).attempt(), 2);
  EXPECT_EQ(JobOf(id).num_restarts(), 1);
  EXPECT_EQ(a.started().size(), 4u);
}

TEST_F(ControllerCoreTest, AJobWithoutRestartsLeftFailsWithItsLastOutput) {
  FakeAgent& a = AddNode("node-a", 4000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse submitted, Submit(Spec("train", 1, 1000)));
  const std::string id = submitted.job().id();
  Rounds(3);
  Append(a, id, 0, v1::OUTPUT, "step 1\nRuntimeError: bad \x1b[31mshape\n");
  a.Exit(id, 0, 1);
  Rounds(2);
  EXPECT_EQ(JobOf(id).state(), v1::FAILED);
  EXPECT_THAT(ReasonsOf(id),
              AllOf(HasSubstr("rank 0 exited with 1"), HasSubstr("RuntimeError: bad ?[31mshape")));
}

TEST_F(ControllerCoreTest, ALostNodeIsReplacedWithoutCostOnlyAfterItsFence) {
  AddNode("node-a", 2000);
  AddNode("node-b", 2000);
  AddNode("node-c", 2000);
  v1::JobSpec spec = Spec("train", 2, 1000);
  spec.set_spread(v1::NODE);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse submitted, Submit(spec));
  const std::string id = submitted.job().id();
  Rounds(3);
  const std::string lost = JobOf(id).tasks(1).node();
  Rounds(12, {lost});  // 6 s: beyond the lease, within the fence
  EXPECT_EQ(core_->state.nodes().Find(lost).value->state(), v1::LOST);
  EXPECT_EQ(JobOf(id).attempt(), 1) << "its shims may still run the task";
  Rounds(66, {lost});  // 39 s: beyond the fence, within the grace that begins there
  EXPECT_EQ(JobOf(id).attempt(), 1);
  EXPECT_EQ(ReadPlacedAttempt(JobOf(id).artifact_dir(), 0).value_or(0), 2)
      << "the lost node can read it before the successor exists";
  Rounds(32, {lost});
  EXPECT_EQ(JobOf(id).attempt(), 2);
  EXPECT_EQ(JobOf(id).state(), v1::RUNNING);
  EXPECT_EQ(JobOf(id).num_restarts(), 0);
  const v1::Job placed_again = JobOf(id);
  for (const v1::Task& task : placed_again.tasks()) EXPECT_NE(task.node(), lost);
  Rounds(3);  // the node comes back and is told to stop its leftover
  EXPECT_EQ(Agent(lost).num_running(), 0);
  EXPECT_EQ(core_->state.nodes().Find(lost).value->state(), v1::READY);
}

TEST_F(ControllerCoreTest, ANodeThatReturnsWithinItsFenceKeepsItsTasks) {
  AddNode("node-a", 2000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse submitted, Submit(Spec("train", 1, 1000)));
  Rounds(3);
  Rounds(20, {"node-a"});
  Agent("node-a").Restart();
  Rounds(2);
  EXPECT_EQ(JobOf(submitted.job().id()).state(), v1::RUNNING);
  EXPECT_EQ(JobOf(submitted.job().id()).attempt(), 1);
  EXPECT_EQ(Agent("node-a").started().size(), 1u);
}

TEST_F(ControllerCoreTest, AJobThatCanNeverFitIsRefusedWithTheLargestThatDoes) {
  AddNode("node-a", 2000);
  EXPECT_THAT(Submit(Spec("big", 1, 64000)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("the largest node, node-a, has 2 CPUs")));
  EXPECT_THAT(
      Submit(Spec("wide", 3, 1000)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the largest that fits is 2 tasks")));
}

TEST_F(ControllerCoreTest, SubmitIsIdempotent) {
  AddNode("node-a", 2000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse first, Submit(Spec("train", 1, 1000), "same"));
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse second, Submit(Spec("train", 1, 1000), "same"));
  EXPECT_FALSE(first.already_existed());
  EXPECT_TRUE(second.already_existed());
  EXPECT_EQ(first.job().id(), second.job().id());
  EXPECT_THAT(Submit(Spec("train", 1, 1000), "a/b"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("request_id")));
}

TEST_F(ControllerCoreTest, RightsAreCheckedAndAudited) {
  std::vector<std::string> audit;
  hooks_.audit = [&](const AuditEntry& entry) {
    audit.push_back(entry.action + (entry.allowed ? " ok" : " denied"));
  };
  v1::SubmitJobRequest request;
  request.set_request_id("r");
  *request.mutable_spec() = Spec("train", 1, 1000);
  EXPECT_THAT(core_->jobs.Submit(request, testing::Engineer("eve", auth::v1::VIEWER)),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("eve")));
  EXPECT_THAT(core_->jobs.Submit(request, testing::Engineer("bob", auth::v1::ENGINEER, "bank")),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("retail")));
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse job,
                       core_->jobs.Submit(request, testing::Engineer()));
  EXPECT_THAT(core_->jobs.Get(job.job().id(), testing::Engineer("bob", auth::v1::ENGINEER, "bank")),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("bob")));
  EXPECT_EQ(core_->jobs.List({}, testing::Engineer("bob", auth::v1::ENGINEER, "bank")).jobs_size(),
            0);
  EXPECT_THAT(audit, ElementsAre("job.submit denied", "job.submit denied", "job.submit ok",
                                 "job.view denied"));
}

TEST_F(ControllerCoreTest, AnAdmissionCheckRefusesWithItsOwnWords) {
  hooks_.admission = [](const v1::JobSpec&, const Identity&) {
    return absl::PermissionDeniedError("rule 7 forbids pretraining");
  };
  EXPECT_THAT(Submit(Spec("train", 1, 1000)),
              StatusIs(absl::StatusCode::kPermissionDenied, "rule 7 forbids pretraining"));
}

TEST_F(ControllerCoreTest, ABuiltInKindIsValidatedAndGetsItsCommand) {
  hooks_.kinds = {{"pretrain",
                   [](absl::string_view config, const Identity&, v1::JobSpec&) {
                     return config == "{}"
                                ? absl::OkStatus()
                                : absl::InvalidArgumentError("config_json: unknown key steps_");
                   },
                   {"oneai-train", "pretrain"}}};
  v1::JobSpec spec = Spec("train", 1, 1000);
  spec.set_kind("pretrain");
  spec.clear_command();
  spec.set_config_json("{\"steps_\":1}");
  EXPECT_THAT(Submit(spec), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("steps_")));
  spec.set_config_json("{}");
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse job, Submit(spec));
  EXPECT_THAT(job.job().spec().command(), ElementsAre("oneai-train", "pretrain"));
}

TEST_F(ControllerCoreTest, CancelWorksPendingAndRunning) {
  AddNode("node-a", 1000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse running, Submit(Spec("one", 1, 1000)));
  Rounds(3);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse pending, Submit(Spec("two", 1, 1000)));
  Rounds(1);
  EXPECT_THAT(ReasonsOf(pending.job().id()), HasSubstr("node-a: 0 CPUs free of 1"));
  v1::CancelJobRequest cancel;
  cancel.set_id(pending.job().id());
  ASSERT_OK_AND_ASSIGN(const v1::Job cancelled, core_->jobs.Cancel(cancel, testing::Engineer()));
  EXPECT_EQ(cancelled.state(), v1::CANCELLED);
  cancel.set_id(running.job().id());
  ASSERT_OK_AND_ASSIGN(const v1::Job stopping, core_->jobs.Cancel(cancel, testing::Engineer()));
  EXPECT_EQ(stopping.state(), v1::STOPPING);
  Rounds(2);
  EXPECT_EQ(JobOf(running.job().id()).state(), v1::CANCELLED);
  EXPECT_EQ(NumRunning(), 0);
  cancel.set_id("job-none");
  EXPECT_THAT(core_->jobs.Cancel(cancel, testing::Engineer()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("job-none")));
}

TEST_F(ControllerCoreTest, CancelBetweenPlacementAndStartEndsWithoutAProcess) {
  FakeAgent& a = AddNode("node-a", 1000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse job, Submit(Spec("one", 1, 1000)));
  ASSERT_OK(core_->loop.Step());
  ASSERT_EQ(JobOf(job.job().id()).state(), v1::STARTING);
  v1::CancelJobRequest cancel;
  cancel.set_id(job.job().id());
  ASSERT_OK(core_->jobs.Cancel(cancel, testing::Engineer()).status());
  Rounds(3);
  EXPECT_EQ(JobOf(job.job().id()).state(), v1::CANCELLED);
  EXPECT_TRUE(a.started().empty());
}

TEST_F(ControllerCoreTest, RetryRunsAFinishedJobAgain) {
  FakeAgent& a = AddNode("node-a", 1000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse job, Submit(Spec("one", 1, 1000)));
  v1::RetryJobRequest retry;
  retry.set_id(job.job().id());
  EXPECT_THAT(core_->jobs.Retry(retry, testing::Engineer()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("PENDING")));
  Rounds(3);
  a.Exit(job.job().id(), 0, 1);
  Rounds(2);
  ASSERT_EQ(JobOf(job.job().id()).state(), v1::FAILED);
  ASSERT_OK(core_->jobs.Retry(retry, testing::Engineer()).status());
  Rounds(3);
  EXPECT_EQ(JobOf(job.job().id()).state(), v1::RUNNING);
  EXPECT_EQ(JobOf(job.job().id()).attempt(), 2);
}

TEST_F(ControllerCoreTest, QuotaHoldsBackAndRefusesWhatItCanNeverAdmit) {
  AddNode("node-a", 8000);
  v1::Queue queue;
  queue.set_project("retail/nlp");
  queue.set_cpu_milli_limit(2000);
  EXPECT_THAT(core_->queues.Set(queue, testing::Engineer()),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("alice")));
  ASSERT_OK(core_->queues.Set(queue, testing::Admin()).status());
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse first, Submit(Spec("one", 2, 1000)));
  clock_.Advance(absl::Milliseconds(1));
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse second, Submit(Spec("two", 1, 1000)));
  Rounds(3);
  EXPECT_EQ(JobOf(first.job().id()).state(), v1::RUNNING);
  EXPECT_EQ(JobOf(second.job().id()).state(), v1::PENDING);
  EXPECT_THAT(ReasonsOf(second.job().id()), HasSubstr("queue retail/nlp is limited to 2 cores"));
  EXPECT_THAT(Submit(Spec("three", 3, 1000)),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("retail/nlp is limited to 2 cores")));
  const std::vector<v1::Queue> queues = core_->queues.List(testing::Engineer());
  ASSERT_EQ(queues.size(), 1u);
  EXPECT_EQ(queues[0].cpu_milli_used(), 2000);
  EXPECT_EQ(queues[0].pending_jobs(), 1);
}

TEST_F(ControllerCoreTest, ACordonedNodeKeepsItsTasksAndTakesNoNewOnes) {
  AddNode("node-a", 2000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse first, Submit(Spec("one", 1, 1000)));
  Rounds(3);
  v1::SetNodeSchedulableRequest cordon;
  cordon.set_name("node-a");
  cordon.set_reason("disk swap");
  EXPECT_THAT(core_->sessions.SetSchedulable(cordon, testing::Engineer()),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("alice")));
  ASSERT_OK(core_->sessions.SetSchedulable(cordon, testing::Engineer("sue", auth::v1::SRE, "*"))
                .status());
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse second, Submit(Spec("two", 1, 1000)));
  Rounds(3);
  EXPECT_EQ(JobOf(first.job().id()).state(), v1::RUNNING);
  EXPECT_THAT(ReasonsOf(second.job().id()), HasSubstr("node-a: cordoned: disk swap"));
  cordon.set_schedulable(true);
  ASSERT_OK(core_->sessions.SetSchedulable(cordon, testing::Admin()).status());
  Rounds(3);
  EXPECT_EQ(JobOf(second.job().id()).state(), v1::RUNNING);
  cordon.set_name("node-x");
  EXPECT_THAT(core_->sessions.SetSchedulable(cordon, testing::Admin()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("node-x")));
}

TEST_F(ControllerCoreTest, ASecondAgentOfTheSameNameIsRefused) {
  FakeAgent& a = AddNode("node-a", 1000);
  FakeAgent old = a;
  a.Restart();
  ASSERT_OK(a.Beat(core_->sessions));
  EXPECT_THAT(old.Beat(core_->sessions), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                  HasSubstr("another agent runs as node node-a")));
}

TEST_F(ControllerCoreTest, MetricsAndCheckpointEventsAreTaken) {
  FakeAgent& a = AddNode("node-a", 1000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse job, Submit(Spec("one", 1, 1000)));
  const std::string id = job.job().id();
  Rounds(3);
  Append(a, id, 0, v1::METRICS,
         "{\"step\":1,\"unix_ms\":5,\"loss\":5.5}\n{\"event\":\"checkpoint.saved\",\"step\":1,"
         "\"path\":\"checkpoint-1\"}\nnot json\n");
  EXPECT_EQ(JobOf(id).last_checkpoint(), "checkpoint-1");
  const v1::MetricSeriesList metrics = core_->metrics.Get(id, {});
  ASSERT_EQ(metrics.series_size(), 1);
  EXPECT_EQ(metrics.series(0).name(), "loss");
  EXPECT_EQ(metrics.series(0).points(0).value(), 5.5);
  const std::vector<v1::Event> events = core_->state.events().List(id, 0, 10);
  EXPECT_EQ(events.back().kind(), "checkpoint.saved");
}

TEST_F(ControllerCoreTest, OutputOfAnotherNodesTaskIsRefused) {
  AddNode("node-a", 1000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse job, Submit(Spec("one", 1, 1000)));
  Rounds(3);
  v1::AppendLogRequest request;
  request.mutable_task()->set_job_id(job.job().id());
  request.mutable_task()->set_attempt(1);
  request.set_stream(v1::OUTPUT);
  EXPECT_THAT(core_->sessions.AppendLog(request, "node-b"),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("node-a")));
  request.mutable_task()->set_attempt(9);
  EXPECT_THAT(core_->sessions.AppendLog(request, "node-a"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no such task")));
}

TEST_F(ControllerCoreTest, FollowingALogEndsWithTheTask) {
  FakeAgent& a = AddNode("node-a", 1000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse job, Submit(Spec("one", 1, 1000)));
  const std::string id = job.job().id();
  Rounds(3);
  Append(a, id, 0, v1::OUTPUT, "hello\n");
  a.Exit(id, 0, 0);
  Rounds(2);
  v1::ReadLogRequest request;
  request.set_job_id(id);
  request.set_follow(true);
  std::string text;
  ASSERT_OK(FollowLog(
      core_->state, core_->logs, request,
      [&](const v1::LogChunk& chunk) {
        text += chunk.data();
        return true;
      },
      [] { return false; }));
  EXPECT_EQ(text, "hello\n");
  request.set_rank(3);
  EXPECT_THAT(FollowLog(
                  core_->state, core_->logs, request, [](const v1::LogChunk&) { return true; },
                  [] { return false; }),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no rank 3")));
}

TEST_F(ControllerCoreTest, PlanTellsWithoutSubmitting) {
  AddNode("node-a", 2000);
  v1::PlanJobRequest request;
  *request.mutable_spec() = Spec("one", 2, 1000);
  ASSERT_OK_AND_ASSIGN(const v1::PlanJobResponse plan,
                       core_->jobs.Plan(request, testing::Engineer()));
  EXPECT_TRUE(plan.fits_now());
  EXPECT_THAT(plan.placements(), ElementsAre("rank 0 -> node-a", "rank 1 -> node-a"));
  EXPECT_EQ(core_->jobs.List({}, testing::Engineer()).jobs_size(), 0);
}

}  // namespace
}  // namespace oneai::fabric
