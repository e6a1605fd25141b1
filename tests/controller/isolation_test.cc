// Two business units on one fabric: what one has, the other neither sees nor gets.
#include "tests/controller/control_plane_fixture.h"

namespace oneai {
namespace {

using auth::v1::AuthService;
using data::v1::DataService;
using fabric::v1::EndpointService;
using fabric::v1::JobService;
using fabric::v1::NodeService;
using ::testing::HasSubstr;
using testing::StatusIs;

class IsolationTest : public testing::ControlPlaneFixture {
 protected:
  void SetUp() override {
    ControlPlaneFixture::SetUp();
    JoinNode("node-a");
    alice_ = Token("alice", "retail", auth::v1::ENGINEER, "retail");
    bob_ = Token("alice", "bank", auth::v1::ENGINEER, "bank");  // the same name in another unit
  }
  std::string alice_, bob_;
};

TEST_F(IsolationTest, ListsAndEventsShowOnlyTheOwnUnit) {
  const fabric::v1::Job job = Submit("retail/nlp", alice_);
  const auto jobs =
      Call<JobService>(&JobService::Stub::ListJobs, fabric::v1::ListJobsRequest(), bob_);
  ASSERT_OK(jobs);
  EXPECT_EQ(jobs->jobs_size(), 0);
  for (const std::string& subject : {std::string(), job.id(), std::string("retail/nlp")}) {
    fabric::v1::ListEventsRequest request;
    request.set_subject(subject);
    const auto events = Call<JobService>(&JobService::Stub::ListEvents, request, bob_);
    ASSERT_OK(events);
    for (const fabric::v1::Event& event : events->events())
      EXPECT_THAT(event.kind(), ::testing::StartsWith("node.")) << event.ShortDebugString();
  }
  const auto endpoints = Call<EndpointService>(&EndpointService::Stub::ListEndpoints,
                                               fabric::v1::ListEndpointsRequest(), bob_);
  ASSERT_OK(endpoints);
  EXPECT_EQ(endpoints->endpoints_size(), 0);
}

TEST_F(IsolationTest, ARequestIdFindsNoJobOfAnotherProject) {
  fabric::v1::SubmitJobRequest request;
  request.set_request_id("nightly");
  *request.mutable_spec() = Spec("retail/nlp");
  ASSERT_OK(Call<JobService>(&JobService::Stub::SubmitJob, request, alice_));
  *request.mutable_spec() = Spec("bank/risk");
  EXPECT_THAT(Call<JobService>(&JobService::Stub::SubmitJob, request, bob_),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("another project")));
}

TEST_F(IsolationTest, NodesNameTheTasksOfTheOwnUnitOnly) {
  const fabric::v1::Job job = Submit("retail/nlp", alice_);
  const auto tasks = [&](const std::string& token) {
    fabric::v1::GetNodeRequest request;
    request.set_name("node-a");
    const auto node = Call<NodeService>(&NodeService::Stub::GetNode, request, token);
    EXPECT_OK(node);
    return node.ok() ? node->task_names_size() : -1;
  };
  int64_t seen = 0;
  while (tasks(alice_) == 0) seen = controller_->WaitForChange(seen, absl::Seconds(20));
  EXPECT_EQ(tasks(alice_), 1);
  EXPECT_EQ(tasks(bob_), 0);
}

TEST_F(IsolationTest, AModelOfAnotherUnitIsNeitherServedNorEvaluated) {
  fabric::v1::DeployEndpointRequest deploy;
  deploy.mutable_spec()->set_name("theirs");
  deploy.mutable_spec()->set_model("retail/secret");
  deploy.mutable_spec()->set_replicas(1);
  deploy.mutable_spec()->mutable_resources()->set_cpu_milli(1);
  deploy.mutable_spec()->set_project("bank/risk");
  EXPECT_THAT(Call<EndpointService>(&EndpointService::Stub::DeployEndpoint, deploy,
                                    Token("dan", "bank", auth::v1::DEPLOYER, "bank")),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("unit \"retail\"")));
  fabric::v1::SubmitJobRequest submit;
  submit.set_request_id("evaluate");
  *submit.mutable_spec() = Spec("bank/risk");
  submit.mutable_spec()->set_kind("evaluate");
  submit.mutable_spec()->clear_command();
  submit.mutable_spec()->set_config_json(
      R"({"model": "retail/secret", "dataset": "bank/corpus", "purpose": "evaluation"})");
  EXPECT_THAT(Call<JobService>(&JobService::Stub::SubmitJob, submit, bob_),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("view models")));
}

TEST_F(IsolationTest, AUnitsAdminGrantsNothingOutsideHisUnit) {
  const std::string admin = Token("ada", "retail", auth::v1::ADMIN, "retail");
  const auto grant = [&](const std::string& unit, const std::string& role_unit) {
    auth::v1::CreateTokenRequest request;
    request.set_name("mallory");
    request.set_kind(common::v1::Principal::USER);
    request.set_business_unit(unit);
    request.add_bindings()->set_role(auth::v1::ADMIN);
    request.mutable_bindings(0)->set_business_unit(role_unit);
    return Call<AuthService>(&AuthService::Stub::CreateToken, request, admin).status();
  };
  EXPECT_OK(grant("retail", "retail"));
  for (const auto& [unit, role_unit] :
       std::vector<std::pair<std::string, std::string>>{{"retail", "*"},
                                                        {"retail", "bank"},
                                                        {"bank", "retail"},
                                                        {"", "retail"},
                                                        {"*", "retail"}}) {
    EXPECT_THAT(grant(unit, role_unit),
                StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("manage tokens")))
        << unit << " " << role_unit;
  }
  const auto tokens =
      Call<AuthService>(&AuthService::Stub::ListTokens, auth::v1::ListTokensRequest(), admin);
  ASSERT_OK(tokens);
  for (const auth::v1::TokenInfo& token : tokens->tokens())
    EXPECT_EQ(token.principal().business_unit(), "retail");
}

TEST_F(IsolationTest, AStewardRulesHisOwnUnitsDataOnly) {
  const std::string steward = Token("stu", "bank", auth::v1::STEWARD, "bank");
  const auto put = [&](const std::string& id, const std::vector<std::string>& datasets) {
    data::v1::PutRuleRequest request;
    request.mutable_rule()->set_id(id);
    request.mutable_rule()->set_effect(data::v1::PolicyRule::PERMIT);
    for (const std::string& dataset : datasets) request.mutable_rule()->add_datasets(dataset);
    return Call<DataService>(&DataService::Stub::PutRule, request, steward).status();
  };
  EXPECT_OK(put("own", {"bank/*", "bank/corpus"}));
  for (const std::vector<std::string>& datasets : std::vector<std::vector<std::string>>{
           {}, {"*"}, {"retail/*"}, {"bank/*", "retail/corpus"}, {"bank*"}}) {
    EXPECT_THAT(put("theirs", datasets),
                StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("manage data policy")));
  }
  // Nor does a rule for all yield to a rule for one's own.
  EXPECT_THAT(put("personal-data-never-trains", {"bank/*"}),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("whole fabric")));
}

TEST_F(IsolationTest, AuditorsSeeTheirOwnUnit) {
  Submit("retail/nlp", alice_);
  Submit("bank/risk", bob_);
  const auto query = [&](const std::string& token) {
    const auto answer =
        Call<DataService>(&DataService::Stub::QueryAudit, data::v1::QueryAuditRequest(), token);
    EXPECT_OK(answer);
    return answer.ok() ? *answer : data::v1::QueryAuditResponse();
  };
  const auto own = query(Token("aud", "bank", auth::v1::STEWARD, "bank"));
  EXPECT_EQ(own.records_size(), 1);
  for (const data::v1::AuditRecord& record : own.records())
    EXPECT_EQ(record.principal().business_unit(), "bank");
  EXPECT_EQ(query(Token("all", "ops", auth::v1::STEWARD, "*")).records_size(), 2);
}

TEST_F(IsolationTest, AJobRegistersInItsOwnUnitAndIsToldAtSubmit) {
  fabric::v1::SubmitJobRequest submit;
  submit.set_request_id("pretrain");
  *submit.mutable_spec() = Spec("bank/risk");
  submit.mutable_spec()->set_kind("pretrain");
  submit.mutable_spec()->clear_command();
  submit.mutable_spec()->set_config_json(
      R"({"dataset": "bank/corpus", "purpose": "pretraining", "register_as": "retail/theirs",
          "tokenizer": {"vocab_size": 512}, "max_steps": 1, "max_length": 16,
          "model": {"architecture": "qwen3", "hidden_size": 32, "intermediate_size": 64,
                    "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
                    "head_dim": 16}})");
  EXPECT_THAT(Call<JobService>(&JobService::Stub::SubmitJob, submit, bob_),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("register_as")));
}

}  // namespace
}  // namespace oneai
