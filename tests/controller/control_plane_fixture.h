// The controller's services as main wires them, in this process: an in-memory store, a clock moved
// by hand, real mutual TLS. Two business units: "retail", which has things, and "bank".
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/auth/pki.h"
#include "base/auth/token_store.h"
#include "base/grpc/channel.h"
#include "base/grpc/server.h"
#include "base/grpc/status.h"
#include "base/store/memory_store.h"
#include "compute_fabric/node/protocol_version.h"
#include "compute_fabric/controller/controller.h"
#include "controller/auth_service.h"
#include "controller/wiring.h"
#include "model_platform/registry/registry_service.h"
#include "oneai/data/v1/data.grpc.pb.h"
#include "oneai/fabric/v1/endpoint.grpc.pb.h"
#include "oneai/fabric/v1/queue.grpc.pb.h"
#include "oneai/fabric/v1/job.grpc.pb.h"
#include "oneai/fabric/v1/node.grpc.pb.h"
#include "oneai/registry/v1/registry.grpc.pb.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai::testing {

class ControlPlaneFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    AddEndpoint("shop");
    ASSERT_OK_AND_ASSIGN(audit_, gov::AuditLog::Open(store_.get(), &clock_));
    ASSERT_OK_AND_ASSIGN(catalog_, gov::Catalog::Open(store_.get(), &clock_, dir_.path() / "data"));
    governance_ =
        std::make_unique<gov::DataGovernance>(store_.get(), &clock_, catalog_.get(), audit_.get());
    ASSERT_OK(governance_->InstallDefaultRules());
    for (const char* sub : {"artifacts", "registry"})
      std::filesystem::create_directories(dir_.path() / sub);
    ASSERT_OK_AND_ASSIGN(
        registry_, platform::ModelRegistry::Open(store_.get(), &clock_, dir_.path() / "artifacts",
                                                 dir_.path() / "registry"));
    fabric::ControllerOptions options;
    options.log_dir = dir_.path() / "logs";
    options.artifact_dir = dir_.path() / "artifacts";
    options.registry_dir = dir_.path() / "registry";
    ASSERT_OK_AND_ASSIGN(controller_,
                         fabric::Controller::Create(
                             store_.get(), &clock_, options,
                             MakeHooks(governance_.get(), registry_.get(), audit_.get(), ca_)));
    authenticator_ = std::make_unique<Authenticator>(
        &tokens_, [this](const std::string& id) { return controller_->JobIdentity(id); });
    data_ = std::make_unique<gov::DataServiceImpl>(governance_.get(), authenticator_.get());
    auth_ =
        std::make_unique<AuthServiceImpl>(&tokens_, &codes_, audit_.get(), authenticator_.get());
    registry_service_ = std::make_unique<platform::RegistryServiceImpl>(
        registry_.get(), authenticator_.get(),
        [this](const platform::RegistryAudit& entry) {
          ASSERT_OK(audit_->Append(
              {entry.principal, entry.action, entry.resource, "", entry.allowed, entry.detail}));
        },
        nullptr);
    std::vector<grpc::Service*> services = controller_->services(authenticator_.get());
    services.insert(services.end(), {data_.get(), auth_.get(), registry_service_.get()});
    ASSERT_OK_AND_ASSIGN(
        server_, GrpcServer::Start({"127.0.0.1:0", Credentials("controller", "c")}, services));
    controller_->Start();
    address_ = absl::StrCat("127.0.0.1:", server_->port());
  }

  void TearDown() override {
    if (controller_ != nullptr) controller_->Stop();
    if (server_ != nullptr) server_->Stop(absl::ZeroDuration());
  }

  // Before SetUp(): an endpoint of retail that the store holds when the controller starts.
  void AddEndpoint(const std::string& name) {
    fabric::v1::Endpoint endpoint;
    endpoint.mutable_spec()->set_name(name);
    endpoint.mutable_spec()->set_project("retail/nlp");
    endpoint.set_state(fabric::v1::DEPLOYING);
    ASSERT_OK(store_->Commit(
        Transaction().Put(absl::StrCat("endpoints/", name), endpoint.SerializeAsString())));
  }

  TlsCredentials Credentials(const std::string& kind, const std::string& name) const {
    const KeyPair pair = ca_.Issue({kind, name, {"localhost", "127.0.0.1"}}).value();
    return {ca_.certificate_pem(), pair.certificate_pem, pair.private_key_pem};
  }

  // One channel for each certificate.
  std::shared_ptr<grpc::Channel> ChannelAs(const std::string& kind, const std::string& name) {
    std::shared_ptr<grpc::Channel>& channel = channels_[kind + "/" + name];
    if (channel == nullptr) channel = NewChannel(address_, Credentials(kind, name));
    return channel;
  }

  // The secret of a new token.
  std::string Token(const std::string& name, const std::string& unit, auth::v1::Role role,
                    const std::string& role_unit) {
    auth::v1::CreateTokenRequest request;
    request.set_name(name);
    request.set_kind(common::v1::Principal::USER);
    request.set_business_unit(unit);
    auth::v1::RoleBinding& binding = *request.add_bindings();
    binding.set_role(role);
    binding.set_business_unit(role_unit);
    return tokens_.Create(request).value().secret();
  }

  // One unary call as a person.
  template <typename Service, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Service::Stub::*method)(grpc::ClientContext*,
                                                                      const Request&, Response*),
                                const Request& request, const std::string& token) {
    Response response;
    const absl::Status status =
        CallOver<Service>(ChannelAs("user", "cli"), method, request, token, &response);
    if (!status.ok()) return status;
    return response;
  }
  template <typename Service, typename Request, typename Response>
  absl::Status CallOver(const std::shared_ptr<grpc::Channel>& channel,
                        grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Response*),
                        const Request& request, const std::string& token, Response* response) {
    grpc::ClientContext context;
    PrepareContext(context, absl::Seconds(30), token);
    return FromGrpcStatus(((*Service::NewStub(channel)).*method)(&context, request, response));
  }

  // A node with room for everything.
  void JoinNode(const std::string& name) {
    fabric::v1::HeartbeatRequest beat;
    beat.mutable_node()->set_name(name);
    beat.mutable_node()->set_address("127.0.0.1");
    beat.mutable_node()->set_protocol_version(fabric::kProtocolVersion);
    beat.mutable_node()->set_cpu_milli(1'000'000);
    beat.mutable_node()->set_memory_bytes(int64_t{1} << 45);
    beat.mutable_node()->set_port_first(20000);
    beat.mutable_node()->set_port_last(29999);
    beat.set_incarnation("first");
    fabric::v1::HeartbeatResponse answer;
    ASSERT_OK(CallOver<fabric::v1::NodeService>(
        ChannelAs("node", name), &fabric::v1::NodeService::Stub::Heartbeat, beat, "", &answer));
  }

  static fabric::v1::JobSpec Spec(const std::string& project) {
    fabric::v1::JobSpec spec;
    spec.set_name("work");
    spec.set_project(project);
    spec.set_kind("command");
    spec.add_command("/bin/true");
    spec.set_num_tasks(1);
    spec.mutable_resources()->set_cpu_milli(1);
    return spec;
  }
  fabric::v1::Job Submit(const std::string& project, const std::string& token) {
    fabric::v1::SubmitJobRequest request;
    request.set_request_id(absl::StrCat("request-", ++num_requests_));
    *request.mutable_spec() = Spec(project);
    const auto response =
        Call<fabric::v1::JobService>(&fabric::v1::JobService::Stub::SubmitJob, request, token);
    EXPECT_OK(response);
    return response.ok() ? response->job() : fabric::v1::Job();
  }

  const CertificateAuthority ca_ = CertificateAuthority::Create().value();
  TempDir dir_;
  FakeClock clock_;
  const std::unique_ptr<Store> store_ = NewMemoryStore();
  TokenStore tokens_{store_.get(), &clock_};
  LoginCodes codes_{&clock_};
  std::unique_ptr<gov::AuditLog> audit_;
  std::unique_ptr<gov::Catalog> catalog_;
  std::unique_ptr<gov::DataGovernance> governance_;
  std::unique_ptr<platform::ModelRegistry> registry_;
  std::unique_ptr<fabric::Controller> controller_;
  std::unique_ptr<Authenticator> authenticator_;
  std::unique_ptr<gov::DataServiceImpl> data_;
  std::unique_ptr<AuthServiceImpl> auth_;
  std::unique_ptr<platform::RegistryServiceImpl> registry_service_;
  std::unique_ptr<GrpcServer> server_;
  std::string address_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_;
  int num_requests_ = 0;
};

}  // namespace oneai::testing
