// Runs the real oneai-gateway between fake replicas, a fake controller and real clients, all over
// TLS.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/auth/pki.h"
#include "base/files/files.h"
#include "base/grpc/channel.h"
#include "base/grpc/server.h"
#include "base/http/client.h"
#include "base/process/child_process.h"
#include "tests/serving/gateway/fakes.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

namespace fs = std::filesystem;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using Json = nlohmann::json;

template <typename F>
bool Eventually(F condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(20));
  }
  return false;
}

class GatewayProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::path(::testing::TempDir()) /
           absl::StrCat("gateway.", getpid(), ".",
                        ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(dir_);
    ASSERT_OK_AND_ASSIGN(const CertificateAuthority ca, CertificateAuthority::Create());
    ca_pem_ = ca.certificate_pem();
    ASSERT_OK_AND_ASSIGN(server_tls_, Issue(ca, "controller", "controller"));
    ASSERT_OK_AND_ASSIGN(client_tls_, Issue(ca, "user", "cli"));
    ASSERT_OK_AND_ASSIGN(const TlsCredentials gateway, Issue(ca, "gateway", "gateway"));
    ASSERT_OK(WriteFileAtomically(dir_ / "ca.crt", gateway.ca_pem));
    ASSERT_OK(WriteFileAtomically(dir_ / "gateway.crt", gateway.certificate_pem));
    ASSERT_OK(WriteFileAtomically(dir_ / "gateway.key", gateway.private_key_pem, 0600));
    ASSERT_OK_AND_ASSIGN(controller_,
                         GrpcServer::Start({.tls = server_tls_}, {&endpoints_, &auth_}));
    std::vector<std::string> addresses;
    for (int i = 0; i < 2; ++i) {
      ASSERT_OK_AND_ASSIGN(servers_[i], GrpcServer::Start({.tls = server_tls_}, {&replicas_[i]}));
      addresses.push_back(absl::StrCat("127.0.0.1:", servers_[i]->port()));
    }
    endpoints_.AddEndpoint("shakespeare", "retail/poems", addresses);
    endpoints_.AddEndpoint("secret", "bank/loans", addresses);
    endpoints_.AddEndpoint("empty", "retail/poems", {});
  }
  void TearDown() override {
    StopGateway(SIGKILL);
    for (auto& server : servers_) {
      if (server != nullptr) server->Stop(absl::ZeroDuration());
    }
    if (controller_ != nullptr) controller_->Stop(absl::ZeroDuration());
    fs::remove_all(dir_);
  }

  static absl::StatusOr<TlsCredentials> Issue(const CertificateAuthority& ca,
                                              const std::string& kind, const std::string& name) {
    auto pair = ca.Issue({kind, name, {"localhost", "127.0.0.1"}});
    if (!pair.ok()) return pair.status();
    return TlsCredentials{ca.certificate_pem(), pair->certificate_pem, pair->private_key_pem};
  }
  void StartGateway(const std::vector<std::string>& more = {}) {
    fs::remove(dir_ / "state" / "endpoints.json");
    ChildOptions child;
    child.argv = {(oneai::testing::BinDir() / "oneai-gateway").string(),
                  absl::StrCat("--controller=127.0.0.1:", controller_->port()),
                  "--tls-ca=" + (dir_ / "ca.crt").string(),
                  "--tls-cert=" + (dir_ / "gateway.crt").string(),
                  "--tls-key=" + (dir_ / "gateway.key").string(),
                  "--state-dir=" + (dir_ / "state").string(),
                  "--key-lifetime-ms=200"};
    child.argv.insert(child.argv.end(), more.begin(), more.end());
    child.env = CurrentEnvironment();
    child.output_file = (dir_ / "gateway.log").string();
    ASSERT_OK_AND_ASSIGN(gateway_, SpawnChild(child));
    ASSERT_TRUE(Eventually([&] { return fs::exists(dir_ / "state" / "endpoints.json"); }))
        << ReadFile(dir_ / "gateway.log").value_or("");
    const Json addresses = Json::parse(*ReadFile(dir_ / "state" / "endpoints.json"));
    http_ = addresses["http"];
    stub_ = inference::v1::InferenceService::NewStub(NewChannel(addresses["grpc"], client_tls_));
    ASSERT_TRUE(Eventually([&] { return Get("/v1/models/shakespeare").status == 200; }));
  }
  int StopGateway(int signal_number) {
    if (gateway_ <= 0) return 0;
    int status = 0;
    kill(gateway_, signal_number);
    waitpid(gateway_, &status, 0);
    gateway_ = 0;
    return status;
  }

  HttpResponse Send(const std::string& method, const std::string& path, const std::string& body,
                    const std::string& key = "retail-key") {
    HttpRequest request;
    request.method = method;
    request.headers = {{"content-type", "application/json"}, {"x-request-id", "test-1"}};
    if (!key.empty()) request.headers.push_back({"authorization", "Bearer " + key});
    request.body = body;
    auto response = HttpFetch(http_ + path, request, {.ca_pem = ca_pem_});
    EXPECT_OK(response);
    return response.value_or(HttpResponse{.status = 0});
  }
  HttpResponse Get(const std::string& path, const std::string& key = "retail-key") {
    return Send("GET", path, "", key);
  }
  HttpResponse Complete(const std::string& prompt, const std::string& more = "") {
    return Send("POST", "/v1/completions",
                R"({"model":"shakespeare","prompt":")" + prompt + "\"" + more + "}");
  }
  static std::string HeaderOf(const HttpResponse& response, const std::string& name) {
    for (const auto& [key, value] : response.headers) {
      if (key == name) return value;
    }
    return "";
  }
  std::unique_ptr<grpc::ClientContext> WithKey(const std::string& key = "retail-key") {
    auto context = std::make_unique<grpc::ClientContext>();
    PrepareContext(*context, absl::Seconds(20), key);
    return context;
  }
  int TotalCalls() const { return replicas_[0].num_calls() + replicas_[1].num_calls(); }
  int TotalCancelled() const { return replicas_[0].num_cancelled() + replicas_[1].num_cancelled(); }

  fs::path dir_;
  std::string ca_pem_;
  TlsCredentials server_tls_;
  TlsCredentials client_tls_;
  FakeEndpointService endpoints_;
  FakeAuthService auth_;
  FakeReplica replicas_[2];
  std::unique_ptr<GrpcServer> controller_;
  std::unique_ptr<GrpcServer> servers_[2];
  pid_t gateway_ = 0;
  std::string http_;
  std::unique_ptr<inference::v1::InferenceService::Stub> stub_;
};

TEST_F(GatewayProcessTest, AnswersWholeOverHttp) {
  StartGateway();
  const HttpResponse response = Complete("x");
  ASSERT_EQ(response.status, 200) << response.body;
  const Json json = Json::parse(response.body);
  EXPECT_EQ(json["choices"][0]["text"], "one two three");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(json["usage"]["total_tokens"], 8);
  EXPECT_EQ(json["id"], "cmpl-test-1");
  EXPECT_EQ(HeaderOf(response, "x-request-id"), "test-1");
  EXPECT_TRUE(replicas_[0].tenant() == "retail" || replicas_[1].tenant() == "retail");
}

TEST_F(GatewayProcessTest, StreamsChatOverHttp) {
  StartGateway();
  const HttpResponse response =
      Send("POST", "/v1/chat/completions",
           R"({"model":"shakespeare","messages":[{"role":"user","content":"x"}],"stream":true,)"
           R"("stream_options":{"include_usage":true}})");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_THAT(HeaderOf(response, "content-type"), HasSubstr("text/event-stream"));
  EXPECT_THAT(response.body, HasSubstr(R"("delta":{"role":"assistant","content":"one"})"));
  EXPECT_THAT(response.body, HasSubstr(R"("choices":[],"usage":{"prompt_tokens":5)"));
  EXPECT_THAT(response.body, EndsWith("data: [DONE]\n\n"));
}

TEST_F(GatewayProcessTest, GoesRoundTheReplicas) {
  StartGateway();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Complete("x").status, 200);
  EXPECT_EQ(replicas_[0].num_calls(), 2);
  EXPECT_EQ(replicas_[1].num_calls(), 2);
}

TEST_F(GatewayProcessTest, ListsOnlyWhatTheKeyMayCall) {
  StartGateway();
  const HttpResponse list = Get("/v1/models");
  EXPECT_THAT(list.body, HasSubstr(R"("id":"shakespeare","object":"model")"));
  EXPECT_THAT(list.body, HasSubstr(R"("owned_by":"retail")"));
  EXPECT_THAT(list.body, ::testing::Not(HasSubstr("secret")));
  EXPECT_EQ(Get("/v1/models/secret").status, 403);
  EXPECT_EQ(Get("/v1/models/none").status, 404);
  EXPECT_EQ(Get("/v1/models/shakespeare:nobody").status, 404);
}

TEST_F(GatewayProcessTest, RefusesStrangers) {
  StartGateway();
  EXPECT_EQ(Get("/v1/models", "").status, 401);
  EXPECT_EQ(Get("/v1/models", "wrong").status, 401);
  EXPECT_EQ(Send("POST", "/v1/completions", "not json", "wrong").status, 401);
  EXPECT_EQ(Get("/health", "").status, 200);
  auth_.Revoke();
  EXPECT_TRUE(Eventually([&] { return Get("/v1/models").status == 401; }));
}

TEST_F(GatewayProcessTest, EmbedsThroughBothDoors) {
  StartGateway();
  const HttpResponse response =
      Send("POST", "/v1/embeddings", R"({"model":"shakespeare:law","input":["ab","abcd"]})");
  ASSERT_EQ(response.status, 200) << response.body;
  const Json json = Json::parse(response.body);
  EXPECT_EQ(json["data"][1]["embedding"].dump(), "[4.0,0.0]");
  EXPECT_EQ(json["usage"]["total_tokens"], 7);
  EXPECT_EQ(HeaderOf(response, "x-request-id"), "test-1");
  EXPECT_TRUE(replicas_[0].tenant() == "retail" || replicas_[1].tenant() == "retail");

  inference::v1::EmbedRequest request;
  request.set_model("shakespeare");
  request.add_inputs()->set_text("abc");
  inference::v1::EmbedResponse embedded;
  auto context = WithKey();
  ASSERT_TRUE(stub_->Embed(context.get(), request, &embedded).ok());
  EXPECT_EQ(embedded.embeddings(0).values(0), 3);
  auto no_key = WithKey("");
  EXPECT_EQ(stub_->Embed(no_key.get(), request, &embedded).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(GatewayProcessTest, AReplicaThatCannotEmbedNowIsReplaced) {
  StartGateway();
  replicas_[0].Behave("refuse");
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(Send("POST", "/v1/embeddings", R"({"model":"shakespeare","input":"a"})").status, 200);
  }
}

TEST_F(GatewayProcessTest, BadRequestsAreNamed) {
  StartGateway();
  const HttpResponse bad = Complete("x", R"(,"n":65)");
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(Json::parse(bad.body)["error"]["param"], "n");
  const HttpResponse too_long = Complete("long");
  EXPECT_EQ(too_long.status, 400);
  EXPECT_THAT(too_long.body, HasSubstr("99 tokens"));
  EXPECT_EQ(Send("POST", "/v1/completions", R"({"model":"none","prompt":"x"})").status, 404);
  EXPECT_EQ(Send("POST", "/v1/completions", R"({"model":"secret","prompt":"x"})").status, 403);
  const HttpResponse none_ready =
      Send("POST", "/v1/completions", R"({"model":"empty","prompt":"x"})");
  EXPECT_EQ(none_ready.status, 503);
  EXPECT_EQ(HeaderOf(none_ready, "retry-after"), "1");
}

TEST_F(GatewayProcessTest, EveryErrorIsOpenAisJson) {
  StartGateway({"--tenant-streams-max=1"});
  const auto expect = [](const HttpResponse& response, int status, const std::string& type,
                         const Json& code) {
    EXPECT_EQ(response.status, status) << response.body;
    EXPECT_EQ(HeaderOf(response, "content-type"), "application/json");
    EXPECT_NE(HeaderOf(response, "x-request-id"), "");
    const Json json = Json::parse(response.body, nullptr, false);
    ASSERT_TRUE(json.is_object() && json.contains("error")) << response.body;
    EXPECT_EQ(json["error"].size(), 4) << response.body;
    EXPECT_NE(json["error"].value("message", ""), "");
    EXPECT_EQ(json["error"].value("type", ""), type);
    EXPECT_EQ(json["error"]["code"], code);
  };
  const std::string path = "/v1/completions";
  expect(Send("POST", path, "{\"model\":"), 400, "invalid_request_error", nullptr);
  expect(Send("POST", path, "[]"), 400, "invalid_request_error", nullptr);
  expect(Send("POST", path, "{}", "wrong"), 401, "invalid_request_error", "invalid_api_key");
  expect(Send("POST", path, R"({"model":"secret","prompt":"x"})"), 403, "permission_error",
         "permission_denied");
  expect(Send("POST", path, R"({"model":"none","prompt":"x"})"), 404, "invalid_request_error",
         "model_not_found");
  expect(Get("/v1/completion"), 404, "invalid_request_error", "unknown_url");
  expect(Get(path), 405, "invalid_request_error", "method_not_supported");
  expect(Send("POST", path, std::string((8 << 20) + 1, ' ')), 413, "invalid_request_error",
         "request_too_large");
  expect(Send("POST", path, R"({"model":"empty","prompt":"x"})"), 503, "service_unavailable_error",
         "unavailable");
  auto context = WithKey();
  inference::v1::CompletionRequest request;
  request.set_model("shakespeare");
  request.set_text("hang");
  const auto reader = stub_->CompleteStream(context.get(), request);
  inference::v1::GenerationChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  expect(Complete("x"), 429, "rate_limit_error", "rate_limit_exceeded");
  context->TryCancel();
  reader->Finish();
}

TEST_F(GatewayProcessTest, AReplicaThatRefusesIsReplacedUnseen) {
  replicas_[0].Behave("refuse");
  StartGateway();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Complete("x").status, 200);
  EXPECT_EQ(replicas_[1].num_calls(), 3);
}

TEST_F(GatewayProcessTest, AReplicaThatDiedIsReplacedUnseen) {
  StartGateway();
  servers_[0]->Stop(absl::ZeroDuration());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Complete("x").status, 200);
}

TEST_F(GatewayProcessTest, ALossAfterTheFirstTokenIsSaidInTheStream) {
  replicas_[0].Behave("break");
  replicas_[1].Behave("break");
  StartGateway();
  const HttpResponse response = Complete("x", R"(,"stream":true)");
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.body, HasSubstr(R"("text":"one")"));
  EXPECT_THAT(response.body, HasSubstr(R"(data: {"error":{"message":"the replica was lost)"));
  EXPECT_THAT(response.body, ::testing::Not(HasSubstr("[DONE]")));
  // A whole answer has delivered nothing yet, so it may start again elsewhere.
  replicas_[1].Behave("");
  const HttpResponse whole = Complete("x");
  EXPECT_EQ(whole.status, 200) << whole.body;
  EXPECT_EQ(Json::parse(whole.body)["choices"][0]["text"], "one two three");
}

TEST_F(GatewayProcessTest, AClientThatLeavesMidStreamCancelsTheReplica) {
  StartGateway();
  HttpRequest request;
  request.method = "POST";
  request.headers = {{"authorization", "Bearer retail-key"}};
  request.body = R"({"model":"shakespeare","prompt":"hang","stream":true})";
  (void)HttpFetchStream(http_ + "/v1/completions", request, {.ca_pem = ca_pem_},
                        [](absl::string_view) { return false; });
  EXPECT_TRUE(Eventually([&] { return TotalCancelled() == 1; }));
}

TEST_F(GatewayProcessTest, AClientThatLeavesBeforeTheFirstTokenCancelsTheReplica) {
  StartGateway();
  HttpRequest request;
  request.method = "POST";
  request.headers = {{"authorization", "Bearer retail-key"}};
  request.body = R"({"model":"shakespeare","prompt":"silent","stream":true})";
  (void)HttpFetch(http_ + "/v1/completions", request,
                  {.ca_pem = ca_pem_, .timeout = absl::Milliseconds(300)});
  EXPECT_TRUE(Eventually([&] { return TotalCancelled() == 1; }));
}

TEST_F(GatewayProcessTest, AFullGatewaySaysWhenToComeBack) {
  StartGateway({"--streams-max=1"});
  auto context = WithKey();
  inference::v1::CompletionRequest request;
  request.set_model("shakespeare");
  request.set_text("hang");
  auto reader = stub_->CompleteStream(context.get(), request);
  inference::v1::GenerationChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  const HttpResponse refused = Complete("x");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(HeaderOf(refused, "retry-after"), "1");
  context->TryCancel();
  while (reader->Read(&chunk)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually([&] { return Complete("x").status == 200; }));
  EXPECT_EQ(TotalCancelled(), 1);
}

TEST_F(GatewayProcessTest, TypedGrpc) {
  StartGateway();
  inference::v1::ChatRequest request;
  request.set_model("shakespeare");
  request.add_messages()->set_role("user");
  request.set_tenant("bank");  // a stranger's claim is overwritten
  inference::v1::GenerationResponse response;
  auto context = WithKey();
  ASSERT_TRUE(stub_->Chat(context.get(), request, &response).ok());
  EXPECT_EQ(response.choices(0).text(), "one two three");
  EXPECT_EQ(response.usage().completion_tokens(), 3);
  EXPECT_TRUE(replicas_[0].tenant() == "retail" || replicas_[1].tenant() == "retail");

  auto stream_context = WithKey();
  auto reader = stub_->ChatStream(stream_context.get(), request);
  inference::v1::GenerationChunk chunk;
  int num_chunks = 0;
  while (reader->Read(&chunk)) ++num_chunks;
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(num_chunks, 3);

  inference::v1::ListModelsResponse models;
  auto list_context = WithKey();
  ASSERT_TRUE(stub_->ListModels(list_context.get(), {}, &models).ok());
  EXPECT_EQ(models.models_size(), 2);

  auto no_key = WithKey("");
  EXPECT_EQ(stub_->Chat(no_key.get(), request, &response).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(GatewayProcessTest, ADeadlineReachesTheReplica) {
  StartGateway();
  grpc::ClientContext context;
  PrepareContext(context, absl::Milliseconds(300), "retail-key");
  inference::v1::CompletionRequest request;
  request.set_model("shakespeare");
  request.set_text("silent");
  inference::v1::GenerationResponse response;
  EXPECT_EQ(stub_->Complete(&context, request, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Eventually([&] { return TotalCancelled() == 1; }));
}

TEST_F(GatewayProcessTest, TellsTheControllerItsLoad) {
  StartGateway();
  auto context = WithKey();
  inference::v1::CompletionRequest request;
  request.set_model("shakespeare");
  request.set_text("hang");
  auto reader = stub_->CompleteStream(context.get(), request);
  inference::v1::GenerationChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  EXPECT_TRUE(Eventually([&] { return endpoints_.Load("shakespeare").requests_in_flight() > 0; }));
  context->TryCancel();
  reader->Finish();
  EXPECT_TRUE(Eventually([&] { return endpoints_.Load("shakespeare").requests_in_flight() == 0; }));
}

TEST_F(GatewayProcessTest, UsageSurvivesAKillAndIsCountedOnce) {
  StartGateway();
  EXPECT_EQ(Complete("x").status, 200);
  EXPECT_EQ(Complete("x").status, 200);
  StopGateway(SIGKILL);
  StartGateway();
  EXPECT_EQ(Complete("x").status, 200);
  EXPECT_TRUE(Eventually([&] { return endpoints_.Usage("retail/shakespeare").requests() == 3; }));
  EXPECT_EQ(endpoints_.Usage("retail/shakespeare").prompt_tokens(), 15);
  EXPECT_EQ(endpoints_.Usage("retail/shakespeare").completion_tokens(), 9);
  EXPECT_EQ(endpoints_.Usage("retail/shakespeare").errors(), 0);
}

TEST_F(GatewayProcessTest, ServesOnWhileTheControllerIsAway) {
  StartGateway();
  controller_->Stop(absl::ZeroDuration());
  absl::SleepFor(absl::Milliseconds(400));  // past the key's lifetime: only the grace lets it work
  EXPECT_EQ(Complete("x").status, 200);
}

TEST_F(GatewayProcessTest, CountsForPrometheus) {
  StartGateway();
  EXPECT_EQ(Complete("x").status, 200);
  const HttpResponse metrics = Get("/metrics", "");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_THAT(metrics.body,
              HasSubstr("vllm:generation_tokens_total{model_name=\"shakespeare\"} 3"));
  EXPECT_THAT(metrics.body, HasSubstr("vllm:time_to_first_token_seconds"));
}

TEST_F(GatewayProcessTest, TermEndsWithZeroAndBadFlagsWithTwo) {
  StartGateway();
  EXPECT_EQ(StopGateway(SIGTERM), 0);
  ChildOptions child;
  child.argv = {(oneai::testing::BinDir() / "oneai-gateway").string(), "--no-such-flag"};
  child.env = CurrentEnvironment();
  child.output_file = (dir_ / "bad.log").string();
  ASSERT_OK_AND_ASSIGN(const pid_t pid, SpawnChild(child));
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 2);
}

}  // namespace
}  // namespace oneai::serving
