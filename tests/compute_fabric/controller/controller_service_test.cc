// The services over mutual TLS: identities, streams that end, a controller that stops promptly.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/auth/pki.h"
#include "base/auth/token_store.h"
#include "base/grpc/authenticator.h"
#include "base/grpc/channel.h"
#include "base/grpc/server.h"
#include "base/store/memory_store.h"
#include "compute_fabric/controller/controller.h"
#include "compute_fabric/node/protocol_version.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "oneai/fabric/v1/job.grpc.pb.h"
#include "oneai/fabric/v1/node.grpc.pb.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::testing::HasSubstr;

class ControllerServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::path(::testing::TempDir()) / absl::StrCat("services-", getpid());
    store_ = NewMemoryStore();
    tokens_ = std::make_unique<TokenStore>(store_.get(), Clock::Real());
    ASSERT_OK(tokens_->CreateFirstAdmin([this](const std::string& secret) {
      token_ = secret;
      return absl::OkStatus();
    }));
    absl::StatusOr<CertificateAuthority> authority = CertificateAuthority::Create();
    ASSERT_OK(authority);
    authority_ = std::make_unique<CertificateAuthority>(*std::move(authority));
    ControllerOptions options{
        .log_dir = dir_ / "logs", .artifact_dir = dir_ / "artifacts", .registry_dir = dir_};
    ASSERT_OK_AND_ASSIGN(controller_, Controller::Create(store_.get(), Clock::Real(), options, {}));
    authenticator_ = std::make_unique<Authenticator>(
        tokens_.get(), [this](const std::string& id) { return controller_->JobIdentity(id); });
    ASSERT_OK_AND_ASSIGN(server_,
                         GrpcServer::Start({.tls = Credentials("controller", "controller")},
                                           controller_->services(authenticator_.get())));
    controller_->Start();
  }
  void TearDown() override {
    controller_->Stop();
    server_->Stop(absl::Seconds(2));
    server_.reset();
    controller_.reset();
    std::filesystem::remove_all(dir_);
  }

  TlsCredentials Credentials(std::string kind, std::string name) {
    const absl::StatusOr<KeyPair> pair =
        authority_->Issue({.kind = kind, .name = name, .hosts = {"localhost", "127.0.0.1"}});
    EXPECT_OK(pair);
    return {authority_->certificate_pem(), pair->certificate_pem, pair->private_key_pem};
  }
  std::shared_ptr<grpc::Channel> Channel(std::string kind, std::string name) {
    return NewChannel(absl::StrCat("127.0.0.1:", server_->port()), Credentials(kind, name));
  }
  grpc::Status Beat(const std::string& certificate, const std::string& node,
                    v1::HeartbeatResponse* response) {
    v1::HeartbeatRequest request;
    request.mutable_node()->set_name(node);
    request.mutable_node()->set_address("127.0.0.1");
    request.mutable_node()->set_cpu_milli(2000);
    request.mutable_node()->set_protocol_version(kProtocolVersion);
    request.set_incarnation("i");
    grpc::ClientContext context;
    PrepareContext(context, absl::Seconds(10));
    return v1::NodeService::NewStub(Channel("node", certificate))
        ->Heartbeat(&context, request, response);
  }

  std::filesystem::path dir_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<TokenStore> tokens_;
  std::string token_;
  std::unique_ptr<CertificateAuthority> authority_;
  std::unique_ptr<Controller> controller_;
  std::unique_ptr<Authenticator> authenticator_;
  std::unique_ptr<GrpcServer> server_;
};

TEST_F(ControllerServiceTest, ANodeSpeaksForItselfOnly) {
  v1::HeartbeatResponse response;
  const grpc::Status own = Beat("node-a", "node-a", &response);
  EXPECT_TRUE(own.ok()) << own.error_message();
  EXPECT_EQ(response.epoch(), 1);
  EXPECT_EQ(response.lease_ms(), 5000);
  const grpc::Status other = Beat("node-a", "node-b", &response);
  EXPECT_EQ(other.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(other.error_message(), HasSubstr("certificate is of node node-a"));
}

TEST_F(ControllerServiceTest, AWatcherSeesTheJobAndIsSentAwayWhenTheControllerStops) {
  const auto stub = v1::JobService::NewStub(Channel("user", "cli"));
  v1::SubmitJobRequest submit;
  submit.set_request_id("r-1");
  submit.mutable_spec()->set_name("train");
  submit.mutable_spec()->set_project("retail/nlp");
  submit.mutable_spec()->set_kind("command");
  submit.mutable_spec()->add_command("/bin/true");
  submit.mutable_spec()->set_num_tasks(1);
  submit.mutable_spec()->mutable_resources()->set_cpu_milli(100);
  v1::SubmitJobResponse submitted;
  grpc::ClientContext no_token;
  PrepareContext(no_token, absl::Seconds(10));
  EXPECT_EQ(stub->SubmitJob(&no_token, submit, &submitted).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  grpc::ClientContext with_token;
  PrepareContext(with_token, absl::Seconds(10), token_);
  const grpc::Status status = stub->SubmitJob(&with_token, submit, &submitted);
  ASSERT_TRUE(status.ok()) << status.error_message();

  grpc::ClientContext watch_context;
  PrepareContext(watch_context, absl::Seconds(60), token_);
  v1::WatchJobsRequest watch;
  watch.add_ids(submitted.job().id());
  const auto reader = stub->WatchJobs(&watch_context, watch);
  v1::JobUpdate update;
  ASSERT_TRUE(reader->Read(&update));
  EXPECT_EQ(update.job().id(), submitted.job().id());
  std::thread stopper([this] { controller_->Stop(); });
  while (reader->Read(&update)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  stopper.join();
}

TEST_F(ControllerServiceTest, FollowingTheLogOfAPendingJobEndsWhenItIsCancelled) {
  const auto stub = v1::JobService::NewStub(Channel("user", "cli"));
  v1::SubmitJobRequest submit;
  submit.set_request_id("r-2");
  submit.mutable_spec()->set_name("train");
  submit.mutable_spec()->set_project("retail/nlp");
  submit.mutable_spec()->set_kind("command");
  submit.mutable_spec()->add_command("/bin/true");
  submit.mutable_spec()->set_num_tasks(1);
  submit.mutable_spec()->mutable_resources()->set_cpu_milli(100);
  v1::SubmitJobResponse submitted;
  grpc::ClientContext submit_context;
  PrepareContext(submit_context, absl::Seconds(10), token_);
  ASSERT_TRUE(stub->SubmitJob(&submit_context, submit, &submitted).ok());
  grpc::ClientContext log_context;
  PrepareContext(log_context, absl::Seconds(60), token_);
  v1::ReadLogRequest read;
  read.set_job_id(submitted.job().id());
  read.set_follow(true);
  const auto reader = stub->ReadLog(&log_context, read);
  grpc::ClientContext cancel_context;
  PrepareContext(cancel_context, absl::Seconds(10), token_);
  v1::CancelJobRequest cancel;
  cancel.set_id(submitted.job().id());
  v1::Job job;
  ASSERT_TRUE(stub->CancelJob(&cancel_context, cancel, &job).ok());
  v1::LogChunk chunk;
  EXPECT_FALSE(reader->Read(&chunk));
  const grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

}  // namespace
}  // namespace oneai::fabric
