#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "base/grpc/authenticator.h"
#include "base/grpc/channel.h"
#include "base/grpc/server.h"
#include "base/grpc/status.h"
#include "base/store/memory_store.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "oneai/auth/v1/auth.grpc.pb.h"
#include "tests/testing/status_matchers.h"

namespace oneai {
namespace {

using common::v1::Principal;
using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ::testing::_;
using ::testing::HasSubstr;
using testing::StatusIs;

constexpr absl::Duration kPatience = absl::Seconds(20);

// Answers WhoAmI with what the Authenticator says.
class WhoAmIService final : public auth::v1::AuthService::Service {
 public:
  explicit WhoAmIService(const Authenticator* authenticator) : authenticator_(authenticator) {}
  grpc::Status WhoAmI(grpc::ServerContext* context, const auth::v1::WhoAmIRequest*,
                      auth::v1::WhoAmIResponse* response) override {
    const absl::StatusOr<Identity> identity = authenticator_->Authenticate(*context);
    if (!identity.ok()) return ToGrpcStatus(identity.status());
    *response->mutable_principal() = identity->principal;
    return grpc::Status::OK;
  }

 private:
  const Authenticator* const authenticator_;
};

class GrpcTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server =
        GrpcServer::Start({"127.0.0.1:0", Credentials(ca_, "controller", "main")}, {&service_});
    ASSERT_OK(server);
    server_ = *std::move(server);
    address_ = absl::StrCat("127.0.0.1:", server_->port());
  }

  static TlsCredentials Credentials(const CertificateAuthority& ca, const std::string& kind,
                                    const std::string& name) {
    const KeyPair pair = ca.Issue({kind, name, {"localhost", "127.0.0.1"}}).value();
    return {ca.certificate_pem(), pair.certificate_pem, pair.private_key_pem};
  }

  absl::StatusOr<Principal> WhoAmI(const TlsCredentials& tls, const std::string& token = "") {
    return WhoAmIOver(NewChannel(address_, tls), token, kPatience);
  }

  absl::StatusOr<Principal> WhoAmIOver(const std::shared_ptr<grpc::Channel>& channel,
                                       const std::string& token, absl::Duration timeout) {
    const auto stub = auth::v1::AuthService::NewStub(channel);
    grpc::ClientContext context;
    PrepareContext(context, timeout, token);
    auth::v1::WhoAmIResponse response;
    const absl::Status status = FromGrpcStatus(stub->WhoAmI(&context, {}, &response));
    if (!status.ok()) return status;
    return response.principal();
  }

  std::string NewToken() {
    auth::v1::CreateTokenRequest request;
    request.set_name("alice");
    request.set_kind(Principal::USER);
    request.add_bindings()->set_role(auth::v1::VIEWER);
    request.mutable_bindings(0)->set_business_unit("*");
    return tokens_.Create(request)->secret();
  }

  const CertificateAuthority ca_ = CertificateAuthority::Create().value();
  const CertificateAuthority other_ca_ = CertificateAuthority::Create().value();
  const std::unique_ptr<Store> store_ = NewMemoryStore();
  FakeClock clock_;
  TokenStore tokens_{store_.get(), &clock_};
  Authenticator authenticator_{&tokens_, [](const std::string& job) -> absl::StatusOr<Identity> {
                                 if (job != "job-1") return absl::NotFoundError("no such job");
                                 Identity identity;
                                 identity.principal.set_kind(Principal::JOB);
                                 identity.principal.set_name(job);
                                 identity.principal.set_on_behalf_of("alice");
                                 return identity;
                               }};
  WhoAmIService service_{&authenticator_};
  std::unique_ptr<GrpcServer> server_;
  std::string address_;
};

TEST_F(GrpcTest, CertificatesOfNodesJobsAndComponentsNameTheCaller) {
  ASSERT_OK_AND_ASSIGN(const Principal node, WhoAmI(Credentials(ca_, "node", "node-a")));
  EXPECT_EQ(node.kind(), Principal::NODE);
  EXPECT_EQ(node.name(), "node-a");
  ASSERT_OK_AND_ASSIGN(const Principal gateway, WhoAmI(Credentials(ca_, "gateway", "gw-7")));
  EXPECT_EQ(gateway.kind(), Principal::COMPONENT);
  EXPECT_EQ(gateway.name(), "gateway");
  ASSERT_OK_AND_ASSIGN(const Principal job, WhoAmI(Credentials(ca_, "job", "job-1")));
  EXPECT_EQ(job.kind(), Principal::JOB);
  EXPECT_EQ(job.on_behalf_of(), "alice");
  EXPECT_THAT(WhoAmI(Credentials(ca_, "job", "job-2")),
              StatusIs(absl::StatusCode::kUnauthenticated, _));
}

TEST_F(GrpcTest, PeopleNeedAToken) {
  const TlsCredentials user = Credentials(ca_, "user", "cli");
  EXPECT_THAT(WhoAmI(user),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("token is needed")));
  EXPECT_THAT(WhoAmI(user, "wrong"),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("not valid")));
  const std::string token = NewToken();
  ASSERT_OK_AND_ASSIGN(const Principal alice, WhoAmI(user, token));
  EXPECT_EQ(alice.name(), "alice");
  clock_.Advance(absl::Hours(24 * 91));
  EXPECT_THAT(WhoAmI(user, token),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("not valid")));
}

TEST_F(GrpcTest, NoByteOfAStrangerReachesAHandler) {
  const std::string token = NewToken();
  const absl::Duration brief = absl::Seconds(2);
  // Signed by another CA, which the client trusts together with the right one for the server's
  // certificate.
  TlsCredentials wrong = Credentials(other_ca_, "node", "node-a");
  wrong.ca_pem = ca_.certificate_pem();
  EXPECT_THAT(WhoAmIOver(NewChannel(address_, wrong), token, brief),
              StatusIs(absl::StatusCode::kUnavailable, _));
  // The server's CA is not the client's.
  EXPECT_THAT(WhoAmIOver(NewChannel(address_, Credentials(other_ca_, "node", "n")), token, brief),
              StatusIs(absl::StatusCode::kUnavailable, _));
  // No client certificate at all.
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = ca_.certificate_pem();
  EXPECT_THAT(WhoAmIOver(grpc::CreateChannel(address_, grpc::SslCredentials(ssl)), token, brief),
              StatusIs(absl::StatusCode::kUnavailable, _));
  // No TLS at all.
  EXPECT_THAT(
      WhoAmIOver(grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()), token, brief),
      StatusIs(absl::StatusCode::kUnavailable, _));
}

TEST_F(GrpcTest, APortInUseIsNamed) {
  EXPECT_THAT(GrpcServer::Start({address_, Credentials(ca_, "controller", "second")}, {}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr(address_)));
}

TEST_F(GrpcTest, HealthAnswersPerService) {
  const auto stub = Health::NewStub(NewChannel(address_, Credentials(ca_, "component", "probe")));
  const auto check = [&](const std::string& service) {
    grpc::ClientContext context;
    PrepareContext(context, kPatience);
    HealthCheckRequest request;
    request.set_service(service);
    HealthCheckResponse response;
    const grpc::Status status = stub->Check(&context, request, &response);
    return status.ok() ? HealthCheckResponse::ServingStatus_Name(response.status())
                       : absl::StrCat(static_cast<int>(status.error_code()));
  };
  EXPECT_EQ(check(""), "SERVING");
  EXPECT_EQ(check("x"), absl::StrCat(static_cast<int>(grpc::StatusCode::NOT_FOUND)));
  server_->SetServing("x", false);
  EXPECT_EQ(check("x"), "NOT_SERVING");
}

TEST_F(GrpcTest, HealthWatchFollowsChangesAndDoesNotHoldUpStop) {
  const auto stub = Health::NewStub(NewChannel(address_, Credentials(ca_, "component", "probe")));
  grpc::ClientContext context;
  PrepareContext(context, absl::Minutes(2));
  const auto stream = stub->Watch(&context, {});
  HealthCheckResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  server_->SetServing("", false);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  server_->SetServing("", true);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  // A grace longer than the test's own time limit: only ending the stream lets this return.
  std::thread stopper([&] { server_->Stop(absl::Minutes(10)); });
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  stopper.join();
}

TEST_F(GrpcTest, AChannelFindsARestartedServer) {
  const auto channel = NewChannel(address_, Credentials(ca_, "node", "node-a"));
  EXPECT_OK(WhoAmIOver(channel, "", kPatience));
  server_.reset();
  EXPECT_THAT(WhoAmIOver(channel, "", kPatience), StatusIs(absl::StatusCode::kUnavailable, _));
  auto server = GrpcServer::Start({address_, Credentials(ca_, "controller", "main")}, {&service_});
  ASSERT_OK(server);
  server_ = *std::move(server);
  absl::StatusOr<Principal> node = absl::UnavailableError("not tried");
  const absl::Time until = absl::Now() + kPatience;
  while (!node.ok() && absl::Now() < until) node = WhoAmIOver(channel, "", kPatience);
  EXPECT_OK(node);
}

// A server that shows the name which a list of controllers demands.
TlsCredentials ControllerCredentials(const CertificateAuthority& ca) {
  const KeyPair pair = ca.Issue({"controller", "c", {"localhost", kControllerName}}).value();
  return {ca.certificate_pem(), pair.certificate_pem, pair.private_key_pem};
}

TEST_F(GrpcTest, AChannelOfSeveralAddressesFollowsTheOneThatListens) {
  const TlsCredentials server_tls = ControllerCredentials(ca_);
  auto first = GrpcServer::Start({"127.0.0.1:0", server_tls}, {&service_}).value();
  const std::string one = absl::StrCat("127.0.0.1:", first->port());
  auto second = GrpcServer::Start({"127.0.0.1:0", server_tls}, {&service_}).value();
  const std::string two = absl::StrCat("127.0.0.1:", second->port());
  second.reset();
  const auto channel = NewChannel(absl::StrCat(two, ",", one), Credentials(ca_, "node", "node-a"));
  EXPECT_OK(WhoAmIOver(channel, "", kPatience));
  first.reset();
  second = GrpcServer::Start({two, server_tls}, {&service_}).value();
  EXPECT_OK(WhoAmIOver(channel, "", kPatience));
}

TEST_F(GrpcTest, AListOfControllersTakesNobodyElseForOne) {
  // address_ has a certificate of our CA, but not a controller's name.
  const auto channel =
      NewChannel(absl::StrCat(address_, ",127.0.0.1:1"), Credentials(ca_, "node", "node-a"));
  EXPECT_FALSE(WhoAmIOver(channel, "", absl::Seconds(2)).ok());
}

TEST_F(GrpcTest, WhoMayNotServeAnswersNobody) {
  const Authenticator gated(&tokens_, nullptr,
                            [] { return absl::UnavailableError("leads no more"); });
  WhoAmIService service(&gated);
  const auto server =
      GrpcServer::Start({"127.0.0.1:0", Credentials(ca_, "controller", "main")}, {&service})
          .value();
  EXPECT_THAT(WhoAmIOver(NewChannel(absl::StrCat("127.0.0.1:", server->port()),
                                    Credentials(ca_, "node", "node-a")),
                         "", kPatience),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("leads no more")));
}

TEST(GrpcStatusTest, RetryDelaySurvivesTheRoundTrip) {
  absl::Status status = absl::ResourceExhaustedError("full");
  EXPECT_EQ(RetryDelayOf(status), std::nullopt);
  SetRetryDelay(status, absl::Milliseconds(1500) + absl::Microseconds(1));
  status.SetPayload("oneai/private", absl::Cord("stays here"));
  const absl::Status back = FromGrpcStatus(ToGrpcStatus(status));
  EXPECT_EQ(back.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(back.message(), "full");
  EXPECT_EQ(RetryDelayOf(back), absl::Milliseconds(1501));
  EXPECT_FALSE(back.GetPayload("oneai/private").has_value());
  SetRetryDelay(status, -absl::InfiniteDuration());
  EXPECT_EQ(RetryDelayOf(status), absl::ZeroDuration());
}

TEST(GrpcStatusTest, MalformedDetailsAreDropped) {
  const std::string message = "busy";
  for (const std::string& details : {std::string("\xff\xff"), std::string(9000, 'x')}) {
    const grpc::Status status(grpc::RESOURCE_EXHAUSTED, message, details);
    EXPECT_EQ(FromGrpcStatus(status), absl::ResourceExhaustedError(message));
  }
  absl::Status odd = absl::ResourceExhaustedError(message);
  odd.SetPayload("type.googleapis.com/google.rpc.RetryInfo", absl::Cord("\xff"));
  EXPECT_EQ(RetryDelayOf(FromGrpcStatus(ToGrpcStatus(odd))), std::nullopt);
}

TEST(GrpcStatusTest, CodesSurviveTheRoundTrip) {
  for (int code = 0; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), code == 0 ? "" : "why");
    EXPECT_EQ(FromGrpcStatus(ToGrpcStatus(status)), status);
  }
}

}  // namespace
}  // namespace oneai
