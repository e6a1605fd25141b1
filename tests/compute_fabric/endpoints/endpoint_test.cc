#include "base/store/memory_store.h"
#include "compute_fabric/endpoints/usage_ledger.h"
#include "gmock/gmock.h"
#include "tests/compute_fabric/controller/fake_fabric.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EndpointTest : public testing::FakeFabric {
 protected:
  void SetUp() override {
    hooks_.kinds = {{"serve", nullptr, {"oneai-serve"}}};
    hooks_.resolve_model = [this](const std::string& reference, ModelUse,
                                  const Identity&) -> absl::StatusOr<ResolvedModel> {
      if (reference == "retail/none") return absl::NotFoundError("no model retail/none");
      return ResolvedModel{absl::StrCat(reference, "@", version_),
                           absl::StrCat("/registry/", reference, "/", version_)};
    };
    StartController();
    AddNode("node-a", 2000);
    AddNode("node-b", 2000);
  }
  std::unique_ptr<Store> OpenStore() override { return NewMemoryStore(); }

  absl::StatusOr<v1::Endpoint> Deploy(int replicas, std::string model = "retail/shakespeare") {
    v1::DeployEndpointRequest request;
    v1::EndpointSpec& spec = *request.mutable_spec();
    spec.set_name("shakespeare");
    spec.set_model(model);
    spec.set_project("retail/nlp");
    spec.set_replicas(replicas);
    spec.mutable_resources()->set_cpu_milli(500);
    spec.set_max_context_tokens(256);
    return core_->endpoints.Deploy(request, deployer_);
  }
  v1::Endpoint Now() { return core_->endpoints.List(deployer_).endpoints(0); }
  void Ready(bool ready) {
    for (auto& agent : agents_) agent->SetReady(ready);
  }

  int version_ = 1;
  const Identity deployer_ = testing::Engineer("dan", auth::v1::DEPLOYER);
};

TEST_F(EndpointTest, ReplicasAreSpreadAndServeWhenReady) {
  ASSERT_OK_AND_ASSIGN(const v1::Endpoint deployed, Deploy(2));
  EXPECT_EQ(deployed.state(), v1::DEPLOYING);
  EXPECT_EQ(deployed.resolved_model(), "retail/shakespeare@1");
  Rounds(3);
  Ready(true);
  Rounds(1);
  EXPECT_EQ(Now().state(), v1::SERVING);
  ASSERT_EQ(Now().replicas_size(), 2);
  EXPECT_NE(Now().replicas(0).node(), Now().replicas(1).node());
  const v1::TaskAssignment& task = Agent("node-a").started().at(0);
  EXPECT_THAT(task.command(), ElementsAre("oneai-serve"));
  EXPECT_EQ(task.config_json(),
            "{\"model_dir\":\"/registry/retail/shakespeare/"
            "1\",\"model_name\":\"shakespeare\",\"model_version\":\"retail/shakespeare@1\","
            "\"max_context_tokens\":256}");
  EXPECT_EQ(Now().replicas(0).address(),
            absl::StrCat(task.env().at("ONEAI_ADDRESS"), ":", task.env().at("ONEAI_PORT_0")));
}

TEST_F(EndpointTest, ADeadReplicaDegradesAndComesBack) {
  ASSERT_OK(Deploy(2).status());
  Rounds(3);
  Ready(true);
  Rounds(1);
  const v1::Endpoint before = Now();
  const v1::Replica& dying = before.replicas(1);
  ASSERT_TRUE(Agent(dying.node()).Exit(before.job_id(), dying.index(), 1));
  Rounds(1);
  EXPECT_EQ(Now().state(), v1::DEGRADED);
  Rounds(5);
  Ready(true);
  Rounds(1);
  EXPECT_EQ(Now().state(), v1::SERVING);
}

TEST_F(EndpointTest, ScalingKeepsTheReplicasThatRun) {
  ASSERT_OK(Deploy(1).status());
  Rounds(3);
  const std::string job = Now().job_id();
  ASSERT_OK(Deploy(3).status());
  Rounds(3);
  EXPECT_EQ(Now().job_id(), job);
  EXPECT_EQ(Now().replicas_size(), 3);
  ASSERT_OK(Deploy(1).status());
  Rounds(3);
  EXPECT_EQ(Now().replicas_size(), 1);
  EXPECT_EQ(NumRunning(), 1);
  EXPECT_THAT(Deploy(100), StatusIs(absl::StatusCode::kInvalidArgument,
                                    HasSubstr("the largest that fits is 8 tasks")));
}

TEST_F(EndpointTest, ANewModelVersionReplacesTheJob) {
  ASSERT_OK(Deploy(1).status());
  Rounds(3);
  const std::string job = Now().job_id();
  version_ = 2;
  ASSERT_OK(Deploy(1).status());
  Rounds(4);
  EXPECT_NE(Now().job_id(), job);
  EXPECT_EQ(JobOf(job).state(), v1::CANCELLED);
  EXPECT_EQ(Now().resolved_model(), "retail/shakespeare@2");
  EXPECT_EQ(NumRunning(), 1);
}

TEST_F(EndpointTest, DeleteStopsTheReplicasThenForgetsTheEndpoint) {
  ASSERT_OK(Deploy(1).status());
  Rounds(3);
  ASSERT_OK(core_->endpoints.Delete("shakespeare", deployer_));
  EXPECT_EQ(Now().state(), v1::DELETING);
  EXPECT_THAT(Deploy(1),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("being deleted")));
  Rounds(3);
  EXPECT_EQ(NumRunning(), 0);
  EXPECT_EQ(core_->endpoints.List(deployer_).endpoints_size(), 0);
  EXPECT_THAT(core_->endpoints.Delete("shakespeare", deployer_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("shakespeare")));
}

TEST_F(EndpointTest, SaysWhatEndedAReplicaThatDoesNotStayUp) {
  ASSERT_OK(Deploy(1).status());
  Rounds(3);
  const std::string job = Now().job_id();
  for (auto& agent : agents_) agent->Exit(job, 0, 2);
  Rounds(1);
  EXPECT_THAT(Now().message(), HasSubstr("replica 0 ended with status 2"));
  EXPECT_THAT(Now().message(), HasSubstr(absl::StrCat("oneai job logs ", job)));
}

TEST_F(EndpointTest, RefusesUnknownModelsAndOtherUnits) {
  EXPECT_THAT(Deploy(1, "retail/none"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("retail/none")));
  v1::DeployEndpointRequest request;
  request.mutable_spec()->set_name("Bad Name");
  EXPECT_THAT(core_->endpoints.Deploy(request, deployer_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("Bad-Name")));
  ASSERT_OK(Deploy(1).status());
  EXPECT_THAT(
      core_->endpoints.Delete("shakespeare", testing::Engineer("bob", auth::v1::DEPLOYER, "bank")),
      StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("bob")));
}

TEST_F(EndpointTest, UsageIsCountedOncePerSequence) {
  UsageLedger ledger(&core_->state);
  v1::ReportUsageRequest report;
  report.set_gateway("gateway-1");
  report.set_sequence(1);
  v1::UsageRecord* delta = report.add_deltas();
  delta->set_business_unit("retail");
  delta->set_model("shakespeare");
  delta->set_requests(2);
  delta->set_prompt_tokens(30);
  ASSERT_OK(ledger.Report(report).status());
  ASSERT_OK(ledger.Report(report).status());
  report.set_sequence(2);
  ASSERT_OK_AND_ASSIGN(const v1::ReportUsageResponse response, ledger.Report(report));
  EXPECT_EQ(response.last_sequence(), 2);
  ASSERT_OK_AND_ASSIGN(const v1::GetUsageResponse usage, ledger.Get(deployer_));
  ASSERT_EQ(usage.records_size(), 1);
  EXPECT_EQ(usage.records(0).requests(), 4);
  EXPECT_EQ(usage.records(0).prompt_tokens(), 60);
  ASSERT_OK_AND_ASSIGN(const v1::GetUsageResponse others,
                       ledger.Get(testing::Engineer("bob", auth::v1::VIEWER, "bank")));
  EXPECT_EQ(others.records_size(), 0);
}

}  // namespace
}  // namespace oneai::fabric
