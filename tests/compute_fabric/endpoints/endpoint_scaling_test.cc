#include <cmath>
#include <memory>
#include <set>

#include "base/store/memory_store.h"
#include "compute_fabric/endpoints/endpoint_scaler.h"
#include "compute_fabric/endpoints/replica_count.h"
#include "compute_fabric/endpoints/usage_ledger.h"
#include "gmock/gmock.h"
#include "tests/compute_fabric/controller/fake_fabric.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;

class EndpointScalingTest : public testing::FakeFabric {
 protected:
  void SetUp() override {
    hooks_.kinds = {{"serve", nullptr, {"oneai-serve"}}};
    hooks_.resolve_model = [](const std::string& reference, ModelUse,
                              const Identity&) -> absl::StatusOr<ResolvedModel> {
      return ResolvedModel{reference + "@1", "/registry/" + reference};
    };
    StartController();
    scaler_ = std::make_unique<EndpointScaler>(&core_->state);
    core_->loop.SetEndpointStep([this](absl::Time now) { return scaler_->Step(now); });
    for (const char* name : {"node-a", "node-b", "node-c", "node-d"}) {
      FakeAgent& node = AddNode(name, 2000, {"x86-amx"});
      (*node.info().mutable_labels())["rack"] = name < std::string("node-c") ? "r1" : "r2";
    }
    Rounds(1);
  }
  using FakeAgent = testing::FakeAgent;
  std::unique_ptr<Store> OpenStore() override { return NewMemoryStore(); }

  static v1::DeployEndpointRequest Request(int min, int max) {
    v1::DeployEndpointRequest request;
    v1::EndpointSpec& spec = *request.mutable_spec();
    spec.set_name("chat");
    spec.set_model("retail/chat");
    spec.set_project("retail/nlp");
    spec.set_replicas_min(min);
    spec.set_replicas_max(max);
    spec.set_target_in_flight(4);
    spec.mutable_resources()->set_cpu_milli(500);
    return request;
  }
  absl::StatusOr<v1::Endpoint> Deploy(const v1::DeployEndpointRequest& request) {
    return core_->endpoints.Deploy(request, deployer_);
  }
  v1::Endpoint Now() { return core_->endpoints.List(deployer_).endpoints(0); }

  void Report(const std::string& gateway, double in_flight, double queued = 0) {
    v1::ReportUsageRequest report;
    report.set_gateway(gateway);
    v1::EndpointLoad& load = *report.add_loads();
    load.set_endpoint("chat");
    load.set_requests_in_flight(in_flight);
    load.set_requests_queued(queued);
    ASSERT_OK(scaler_->TakeLoads(report));
  }
  // Rounds of half a second in which gateway-1 reports and what runs is ready.
  void Serve(double in_flight, int rounds) {
    for (int i = 0; i < rounds; ++i) {
      Report("gateway-1", in_flight);
      for (auto& agent : agents_) agent->SetReady(true);
      Rounds(1);
    }
  }

  std::unique_ptr<EndpointScaler> scaler_;
  const Identity deployer_ = testing::Engineer("dan", auth::v1::DEPLOYER);
};

TEST_F(EndpointScalingTest, FollowsTheLoadWithinItsBounds) {
  ASSERT_OK(Deploy(Request(1, 3)).status());
  Serve(2, 4);
  EXPECT_EQ(Now().replicas_wanted(), 1);
  EXPECT_EQ(Now().state(), v1::SERVING);
  Serve(7, 6);
  EXPECT_EQ(Now().replicas_wanted(), 2);
  EXPECT_EQ(Now().replicas_size(), 2);
  Serve(100, 6);
  EXPECT_EQ(Now().replicas_size(), 3);
  EXPECT_THAT(scaler_->ReasonOf("chat"), HasSubstr("more than the most"));
  Serve(0, 590);
  EXPECT_EQ(Now().replicas_size(), 3);
  Serve(0, 30);
  EXPECT_EQ(Now().replicas_size(), 1);
  EXPECT_EQ(NumRunning(), 1);
  EXPECT_EQ(Now().state(), v1::SERVING);
}

TEST_F(EndpointScalingTest, AddsGatewaysUpAndForgetsTheDead) {
  ASSERT_OK(Deploy(Request(1, 4)).status());
  Report("gateway-1", 4);
  Report("gateway-2", 3, 4);
  Rounds(3);
  EXPECT_EQ(Now().replicas_wanted(), 3);
  Report("gateway-2", 9);
  clock_.Advance(EndpointScaler::kReportLife - absl::Seconds(2));
  Report("gateway-1", 1);
  clock_.Advance(absl::Seconds(3));
  ASSERT_OK(scaler_->Step(clock_.Now()));
  EXPECT_THAT(scaler_->ReasonOf("chat"), HasSubstr("needs 1 replica "));
  clock_.Advance(EndpointScaler::kReportLife);
  ASSERT_OK(scaler_->Step(clock_.Now()));
  EXPECT_THAT(scaler_->ReasonOf("chat"), HasSubstr("no gateway reports"));
  EXPECT_EQ(Now().replicas_wanted(), 3);
}

TEST_F(EndpointScalingTest, NewBoundsApplyInPlace) {
  ASSERT_OK(Deploy(Request(1, 4)).status());
  Serve(12, 6);
  const std::string job = Now().job_id();
  EXPECT_EQ(Now().replicas_wanted(), 3);
  ASSERT_OK(Deploy(Request(1, 2)).status());
  EXPECT_EQ(Now().job_id(), job);
  EXPECT_EQ(Now().replicas_wanted(), 2);
  v1::DeployEndpointRequest fixed = Request(0, 0);
  fixed.mutable_spec()->set_replicas(4);
  ASSERT_OK(Deploy(fixed).status());
  EXPECT_EQ(Now().job_id(), job);
  Serve(0, 4);
  EXPECT_EQ(Now().replicas_wanted(), 4);
  EXPECT_EQ(scaler_->ReasonOf("chat"), "");
}

TEST_F(EndpointScalingTest, RefusesBoundsThatMakeNoSense) {
  const auto refused = [&](const v1::DeployEndpointRequest& request, const std::string& words) {
    EXPECT_THAT(Deploy(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(words)));
  };
  refused(Request(0, 3), "replicas_min: 0 is out of range 1..3; the nearest valid value is 1");
  refused(Request(4, 3), "replicas_min: 4 is out of range 1..3");
  refused(Request(2, 0), "replicas_max is 0");
  refused(Request(0, -1), "replicas_max: -1");
  refused(Request(1, 1000), "the largest that fits is 16 tasks");
  v1::DeployEndpointRequest outside = Request(2, 3);
  outside.mutable_spec()->set_replicas(1);
  refused(outside, "replicas: 1 is out of range 2..3");
  v1::DeployEndpointRequest nan = Request(1, 3);
  nan.mutable_spec()->set_target_in_flight(-1);
  refused(nan, "target_in_flight");
}

TEST_F(EndpointScalingTest, RefusesReportsThatMakeNoSense) {
  v1::ReportUsageRequest report;
  report.set_gateway("gateway-1");
  report.add_loads()->set_endpoint("chat");
  report.mutable_loads(0)->set_requests_in_flight(std::nan(""));
  EXPECT_THAT(scaler_->TakeLoads(report), StatusIs(absl::StatusCode::kInvalidArgument,
                                                   HasSubstr("requests of chat must be 0 to 1e9")));
  report.mutable_loads(0)->set_requests_in_flight(-1);
  EXPECT_THAT(scaler_->TakeLoads(report), StatusIs(absl::StatusCode::kInvalidArgument,
                                                   HasSubstr("requests of chat must be 0 to 1e9")));
  report.mutable_loads(0)->set_requests_in_flight(1);
  report.set_gateway("");
  EXPECT_THAT(scaler_->TakeLoads(report),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("gateway")));
  UsageLedger ledger(&core_->state);
  report.set_gateway("gateway-1");
  EXPECT_OK(ledger.Report(report).status()) << "loads alone";
  report.add_deltas();
  EXPECT_THAT(ledger.Report(report),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("sequence")));
}

TEST_F(EndpointScalingTest, ReplicasAreSpreadOverRacks) {
  ASSERT_OK(Deploy(Request(2, 4)).status());
  Rounds(3);
  ASSERT_EQ(Now().replicas_size(), 2);
  const auto rack = [&](int i) { return Now().replicas(i).node() < "node-c" ? 1 : 2; };
  EXPECT_NE(rack(0), rack(1));
  Serve(16, 6);
  std::set<std::string> nodes;
  const v1::Endpoint now = Now();
  for (const v1::Replica& replica : now.replicas()) nodes.insert(replica.node());
  EXPECT_EQ(nodes.size(), 4u);
}

TEST_F(EndpointScalingTest, ADrainKeepsItsExtraReplica) {
  ASSERT_OK(Deploy(Request(1, 3)).status());
  Serve(7, 6);
  ASSERT_EQ(Now().replicas_wanted(), 2);
  const std::string job_id = Now().job_id();
  ASSERT_OK(core_->state
                .UpdateJob(job_id,
                           [](v1::Job& job, EventDrafts&) {
                             (*job.mutable_spec()->mutable_labels())["oneai-drain-surge"] =
                                 "node-a";
                             return ApplyScale(job, 3);
                           })
                .status());
  EXPECT_EQ(ReplicasWanted(JobOf(job_id)), 2);
  v1::Job job = JobOf(job_id);
  EXPECT_TRUE(SetReplicasWanted(job, 3));
  EXPECT_EQ(job.spec().num_tasks(), 4);
  EXPECT_FALSE(SetReplicasWanted(job, 3));
}

TEST_F(EndpointScalingTest, ALatencyClassChoosesTheDevices) {
  AddNode("node-gpu", 2000, {"nvidia-h100-80g"});
  v1::DeployEndpointRequest request = Request(1, 2);
  request.mutable_spec()->set_latency_class(v1::STANDARD);
  ASSERT_OK(Deploy(request).status());
  Serve(0, 4);
  EXPECT_EQ(Now().replicas(0).device(), "x86-amx");
  EXPECT_EQ(JobOf(Now().job_id()).spec().resources().devices(0).milli(), 250);
  EXPECT_EQ(Now().spec().resources().devices_size(), 0) << "what the user said stays as it was";
  request.mutable_spec()->set_latency_class(v1::INTERACTIVE);
  EXPECT_THAT(Deploy(request), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("the nearest class is standard")));
  v1::DeviceRequest& named = *request.mutable_spec()->mutable_resources()->add_devices();
  named.set_kind("x86-amx");
  named.set_count(1);
  named.set_milli(100);
  ASSERT_OK(Deploy(request).status()) << "devices that were named win";
}

}  // namespace
}  // namespace oneai::fabric
