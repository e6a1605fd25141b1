// LoRA adapters of a serving endpoint: rights and names, all replicas or none, and replicas that
// come late or lose a call.
#include <map>

#include "base/store/memory_store.h"
#include "gmock/gmock.h"
#include "tests/compute_fabric/controller/fake_fabric.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Replicas by address, and the folders that they refuse.
class FakeReplicas final : public ReplicaAdapters {
 public:
  absl::StatusOr<std::vector<AdapterFolder>> List(const std::string& address) override {
    if (silent) return absl::UnavailableError("no answer");
    std::vector<AdapterFolder> list;
    for (const auto& [name, folder] : loaded[address]) list.push_back({name, folder});
    return list;
  }
  absl::Status Load(const std::string& address, const AdapterFolder& adapter) override {
    if (silent) return absl::UnavailableError("no answer");
    if (adapter.folder == refused && (refusing.empty() || refusing == address))
      return absl::InvalidArgumentError("rank 8 does not fit");
    loaded[address][adapter.name] = adapter.folder;
    return absl::OkStatus();
  }
  absl::Status Unload(const std::string& address, const std::string& name) override {
    if (silent) return absl::UnavailableError("no answer");
    return loaded[address].erase(name) > 0 ? absl::OkStatus() : absl::NotFoundError(name);
  }

  std::map<std::string, std::map<std::string, std::string>> loaded;
  std::string refused, refusing;
  bool silent = false;
};

class EndpointAdaptersTest : public testing::FakeFabric {
 protected:
  void SetUp() override {
    hooks_.kinds = {{"serve", nullptr, {"oneai-serve"}}};
    hooks_.audit = [this](const AuditEntry& entry) { audit_.push_back(entry); };
    hooks_.resolve_model = [this](const std::string& reference, ModelUse use,
                                  const Identity&) -> absl::StatusOr<ResolvedModel> {
      if (reference == "retail/none") return absl::NotFoundError("no model retail/none");
      if ((reference == "retail/chat") != (use == ModelUse::kModel))
        return absl::InvalidArgumentError(reference + " is something else");
      const int version = reference == "retail/chat" ? 1 : adapter_version_;
      return ResolvedModel{absl::StrCat(reference, "@", version), "/registry/" + reference};
    };
    StartController();
    AddNode("node-a", 2000);
    rollout_ = std::make_unique<AdapterRollout>(&core_->state, &replicas_);
    endpoints_ = std::make_unique<EndpointRequests>(&core_->state, &core_->jobs, &hooks_, nullptr,
                                                    LatencyClassOfKind(), rollout_.get());
    v1::DeployEndpointRequest request;
    v1::EndpointSpec& spec = *request.mutable_spec();
    spec.set_name("chat");
    spec.set_model("retail/chat");
    spec.set_project("retail/nlp");
    spec.set_replicas(2);
    spec.mutable_resources()->set_cpu_milli(500);
    ASSERT_OK(endpoints_->Deploy(request, deployer_).status());
    Rounds(3);
  }
  std::unique_ptr<Store> OpenStore() override { return NewMemoryStore(); }

  void Serve() {
    for (auto& agent : agents_) agent->SetReady(true);
    Rounds(1);
    const v1::Endpoint endpoint = Now();
    for (const v1::Replica& replica : endpoint.replicas()) replicas_.loaded[replica.address()];
  }
  v1::Endpoint Now() { return *endpoints_->Get("chat", deployer_); }
  absl::Status Change(const std::vector<std::pair<std::string, std::string>>& add,
                      const std::vector<std::string>& remove = {}) {
    return ChangeAs(deployer_, add, remove);
  }
  absl::Status ChangeAs(const Identity& caller,
                        const std::vector<std::pair<std::string, std::string>>& add,
                        const std::vector<std::string>& remove = {}) {
    v1::ChangeAdaptersRequest request;
    request.set_endpoint("chat");
    for (const auto& [name, model] : add) {
      request.add_add()->set_name(name);
      request.mutable_add()->rbegin()->set_model(model);
    }
    for (const std::string& name : remove) request.add_remove(name);
    return endpoints_->ChangeAdapters(request, caller).status();
  }
  void ExpectEverywhere(const std::map<std::string, std::string>& adapters) {
    ASSERT_THAT(replicas_.loaded, SizeIs(2));
    for (const auto& [address, loaded] : replicas_.loaded) EXPECT_EQ(loaded, adapters) << address;
  }

  int adapter_version_ = 1;
  FakeReplicas replicas_;
  std::vector<AuditEntry> audit_;
  std::unique_ptr<AdapterRollout> rollout_;
  std::unique_ptr<EndpointRequests> endpoints_;
  const Identity deployer_ = testing::Engineer("dan", auth::v1::DEPLOYER);
};

TEST_F(EndpointAdaptersTest, AreKeptAtTheVersionThatTheyWereAddedIn) {
  Serve();
  const std::string job = Now().job_id();
  ASSERT_OK(Change({{"law", "retail/law"}}));
  EXPECT_EQ(Now().spec().adapters(0).model(), "retail/law");
  EXPECT_EQ(Now().spec().adapters(0).resolved_model(), "retail/law@1");
  // The same command again changes nothing; once there is a newer version, it means that one.
  v1::DeployEndpointRequest request;
  *request.mutable_spec() = Now().spec();
  request.mutable_spec()->mutable_adapters(0)->clear_resolved_model();
  ASSERT_OK(endpoints_->Deploy(request, deployer_).status());
  EXPECT_EQ(Now().job_id(), job);
  adapter_version_ = 2;
  ASSERT_OK(endpoints_->Deploy(request, deployer_).status());
  EXPECT_NE(Now().job_id(), job);
  EXPECT_EQ(Now().spec().adapters(0).resolved_model(), "retail/law@2");
}

TEST_F(EndpointAdaptersTest, AModelIsNoAdapter) {
  Serve();
  EXPECT_THAT(Change({{"law", "retail/chat"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("something else")));
}

TEST_F(EndpointAdaptersTest, ComeToEveryReplicaWithoutARestart) {
  Serve();
  const std::string job = Now().job_id();
  ASSERT_OK(Change({{"law", "retail/law"}, {"care", "retail/care"}}));
  ExpectEverywhere({{"law", "/registry/retail/law"}, {"care", "/registry/retail/care"}});
  EXPECT_EQ(Now().job_id(), job);
  EXPECT_EQ(Now().spec().adapters_size(), 2);
  // What starts later reads them from its settings.
  EXPECT_THAT(JobOf(job).spec().config_json(), HasSubstr(R"("law":"/registry/retail/law")"));
  ASSERT_OK(Change({}, {"law"}));
  rollout_->Round();
  ExpectEverywhere({{"care", "/registry/retail/care"}});
  EXPECT_EQ(Now().spec().adapters_size(), 1);
  ASSERT_OK(Change({}, {"care"}));
  rollout_->Round();
  ExpectEverywhere({});
  EXPECT_EQ(audit_.back().action, "endpoint.adapters");
  EXPECT_EQ(audit_.back().detail, "-care");
}

TEST_F(EndpointAdaptersTest, WhatOneReplicaRefusesNoneKeeps) {
  Serve();
  replicas_.refused = "/registry/retail/law";
  replicas_.refusing = Now().replicas(1).address();
  EXPECT_THAT(Change({{"care", "retail/care"}, {"law", "retail/law"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("rank 8 does not fit")));
  EXPECT_THAT(Now().spec().adapters(), IsEmpty());
  EXPECT_FALSE(audit_.back().allowed);
  ExpectEverywhere({});  // nor the other one, which both replicas had taken
}

TEST_F(EndpointAdaptersTest, LateAndDeafReplicasAreMadeToFollow) {
  Serve();
  ASSERT_OK(Change({{"law", "retail/law"}}));
  auto& one = replicas_.loaded.begin()->second;
  one = {{"law", "/registry/old"}, {"stray", "/registry/stray"}};
  replicas_.silent = true;
  rollout_->Round();
  EXPECT_THAT(one, SizeIs(2));
  replicas_.silent = false;
  rollout_->Round();
  ExpectEverywhere({{"law", "/registry/retail/law"}});
}

TEST_F(EndpointAdaptersTest, RefusesWhatMakesNoSense) {
  EXPECT_THAT(Change({{"law", "retail/law"}}), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                        HasSubstr("no replica that is ready")));
  Serve();
  using absl::StatusCode;
  EXPECT_THAT(Change({}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("name an adapter")));
  EXPECT_THAT(Change({{"a b", "retail/law"}}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("adapters.name")));
  EXPECT_THAT(Change({{"law", "retail/law"}, {"law", "retail/x"}}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("twice")));
  EXPECT_THAT(Change({{"law", "retail/none"}}),
              StatusIs(StatusCode::kNotFound, HasSubstr("adapter law")));
  EXPECT_THAT(Change({}, {"law"}), StatusIs(StatusCode::kNotFound, HasSubstr("no adapter law")));
  ASSERT_OK(Change({{"law", "retail/law"}}));
  EXPECT_THAT(Change({{"law", "retail/law"}}),
              StatusIs(StatusCode::kAlreadyExists, HasSubstr("has an adapter law")));
  std::vector<std::pair<std::string, std::string>> many;
  for (int i = 0; i < kEndpointAdaptersMax; ++i)
    many.emplace_back(absl::StrCat("a", i), "retail/law");
  EXPECT_THAT(Change(many), StatusIs(StatusCode::kResourceExhausted, HasSubstr("65 adapters")));
  EXPECT_THAT(ChangeAs(testing::Engineer("eve", auth::v1::DEPLOYER, "bank"), {{"x", "retail/law"}}),
              StatusIs(StatusCode::kPermissionDenied, HasSubstr("")));
  ExpectEverywhere({{"law", "/registry/retail/law"}});
}

TEST(PlanAdaptersTest, UnloadsWhatDiffersAndLeavesWhatIsPending) {
  const AdapterChanges changes =
      PlanAdapters({{"a", "/1"}, {"b", "/2"}, {"c", "/3"}},
                   {{"a", "/1"}, {"b", "/old"}, {"d", "/4"}}, {"d", "c"});
  EXPECT_THAT(changes.unload, ElementsAre("b"));
  EXPECT_THAT(changes.load, ElementsAre(AdapterFolder{"b", "/2"}));
}

}  // namespace
}  // namespace oneai::fabric
