// The service over real mutual TLS on loopback, with a fake model.
#include "serving/replica/replica_service.h"

#include <thread>

#include "absl/strings/str_cat.h"
#include "base/grpc/channel.h"
#include "base/grpc/server.h"
#include "grpcpp/create_channel.h"
#include "tests/serving/byte_tokenizer.h"
#include "tests/serving/engine/fake_runner.h"

namespace oneai::serving {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ReplicaServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ca_ = std::make_unique<CertificateAuthority>(*CertificateAuthority::Create());
    absl::StatusOr<PromptBuilder> prompts =
        PromptBuilder::Create(NewByteTokenizer(), models::TokenizerConfig());
    ASSERT_OK(prompts);
    prompts_ = std::make_unique<PromptBuilder>(*std::move(prompts));
  }

  void Start(FakeRunnerOptions runner = {}, StepGate* gate = nullptr,
             int64_t max_waiting_requests = 256) {
    EngineOptions options;
    options.max_context_tokens = 200;
    options.max_batch_tokens = 64;
    options.max_running_sequences = 8;
    options.max_waiting_requests = max_waiting_requests;
    ASSERT_OK_AND_ASSIGN(
        engine_, Engine::Create(options, std::make_unique<FakeRunner>(runner, gate),
                                TokenTable{kNumByteTokens, {kEndToken}, &prompts_->tokenizer()},
                                nullptr, Clock::Real()));
    ReplicaModel model;
    model.name = "tiny";
    model.version = "retail/tiny@1";
    model.max_context_tokens = options.max_context_tokens;
    builder_ = std::make_unique<RequestBuilder>(model, prompts_.get(), nullptr);
    service_ = std::make_unique<ReplicaService>(builder_.get(), engine_.get());
    GrpcServerOptions server;
    server.tls = Credentials("job", "replica");
    ASSERT_OK_AND_ASSIGN(server_, GrpcServer::Start(server, {service_.get()}));
    stub_ = NewStub("gateway", "g");
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Stop(absl::ZeroDuration());
  }

  TlsCredentials Credentials(const std::string& kind, const std::string& name) {
    const absl::StatusOr<KeyPair> pair = ca_->Issue({kind, name, {"localhost", "127.0.0.1"}});
    EXPECT_OK(pair);
    return {ca_->certificate_pem(), pair->certificate_pem, pair->private_key_pem};
  }
  std::unique_ptr<v1::InferenceService::Stub> NewStub(const std::string& kind,
                                                      const std::string& name) {
    return v1::InferenceService::NewStub(
        NewChannel(absl::StrCat("127.0.0.1:", server_->port()), Credentials(kind, name)));
  }
  static v1::CompletionRequest Request(const std::string& text, int max_tokens) {
    v1::CompletionRequest request;
    request.set_model("tiny");
    request.set_text(text);
    request.mutable_sampling()->set_temperature(0);
    request.mutable_sampling()->set_max_tokens(max_tokens);
    return request;
  }
  grpc::Status Complete(const v1::CompletionRequest& request, v1::GenerationResponse& response) {
    grpc::ClientContext context;
    PrepareContext(context, absl::Seconds(20));
    return stub_->Complete(&context, request, &response);
  }
  void ExpectRefused(const v1::CompletionRequest& request, grpc::StatusCode code,
                     const char* text) {
    v1::GenerationResponse response;
    const grpc::Status status = Complete(request, response);
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(text));
  }
  void AwaitIdle() {
    while (engine_->stats().num_running + engine_->stats().num_waiting > 0)
      absl::SleepFor(absl::Milliseconds(1));
  }

  std::unique_ptr<CertificateAuthority> ca_;
  std::unique_ptr<PromptBuilder> prompts_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<RequestBuilder> builder_;
  std::unique_ptr<ReplicaService> service_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<v1::InferenceService::Stub> stub_;
};

FakeRunnerOptions Reciting(const std::string& answer) {
  FakeRunnerOptions options;
  options.next = [answer](const std::vector<int32_t>& context) {
    // The answer starts after the last newline of the prompt.
    const size_t begin = std::find(context.rbegin(), context.rend(), '\n').base() - context.begin();
    const size_t i = context.size() - begin;
    return i < answer.size() ? static_cast<int32_t>(static_cast<uint8_t>(answer[i])) : kEndToken;
  };
  return options;
}

TEST_F(ReplicaServiceTest, CompletesWithUsageSeedAndId) {
  Start(Reciting("four"));
  v1::CompletionRequest request = Request("2+2=\n", 20);
  request.set_request_id("r1");
  request.mutable_sampling()->set_seed(7);
  v1::GenerationResponse response;
  ASSERT_TRUE(Complete(request, response).ok());
  EXPECT_EQ(response.choices(0).text(), "four");
  EXPECT_EQ(response.choices(0).finish_reason(), v1::STOP);
  EXPECT_EQ(response.usage().prompt_tokens(), 5);
  EXPECT_EQ(response.usage().completion_tokens(), 5);
  EXPECT_EQ(response.request_id(), "r1");
  EXPECT_EQ(response.seed(), 7);
}

TEST_F(ReplicaServiceTest, StreamEqualsWhole) {
  Start();
  v1::CompletionRequest request = Request("stream me", 60);
  request.mutable_sampling()->set_temperature(1);
  request.mutable_sampling()->set_seed(5);
  request.set_echo(true);
  v1::GenerationResponse whole;
  ASSERT_TRUE(Complete(request, whole).ok());
  grpc::ClientContext context;
  PrepareContext(context, absl::Seconds(20));
  std::unique_ptr<grpc::ClientReader<v1::GenerationChunk>> reader =
      stub_->CompleteStream(&context, request);
  std::string text;
  v1::GenerationChunk chunk;
  int num_tokens = 0;
  bool first = true;
  while (reader->Read(&chunk)) {
    text += chunk.text();
    num_tokens += chunk.token_ids_size();
    EXPECT_EQ(chunk.seed(), first ? 5 : 0);
    first = false;
  }
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_EQ(text, whole.choices(0).text());
  EXPECT_EQ(text.substr(0, 9), "stream me");
  EXPECT_EQ(num_tokens, 60);
  EXPECT_EQ(chunk.finish_reason(), v1::LENGTH);
  EXPECT_EQ(chunk.usage().completion_tokens(), 60);
}

TEST_F(ReplicaServiceTest, DrawnSeedRepeatsTheAnswer) {
  Start();
  v1::CompletionRequest request = Request("draw", 30);
  request.mutable_sampling()->set_temperature(5);
  v1::GenerationResponse first, second;
  ASSERT_TRUE(Complete(request, first).ok());
  request.mutable_sampling()->set_seed(first.seed());
  ASSERT_TRUE(Complete(request, second).ok());
  EXPECT_EQ(first.choices(0).text(), second.choices(0).text());
}

TEST_F(ReplicaServiceTest, ChatUsesTheTemplateAndTheWholeContext) {
  Start(Reciting("hello"));
  v1::ChatRequest request;
  v1::ChatMessage* message = request.add_messages();
  message->set_role("user");
  message->set_content("hi");
  request.mutable_sampling()->set_temperature(0);
  grpc::ClientContext context;
  PrepareContext(context, absl::Seconds(20));
  v1::GenerationResponse response;
  const grpc::Status status = stub_->Chat(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.choices(0).text(), "hello");
  EXPECT_EQ(response.choices(0).finish_reason(), v1::STOP);
}

TEST_F(ReplicaServiceTest, EveryRefusalHasItsCode) {
  Start();
  ExpectRefused(Request("", 4), grpc::INVALID_ARGUMENT, "prompt is empty");
  ExpectRefused(Request(std::string(190, 'x'), 11), grpc::INVALID_ARGUMENT,
                "prompt has 190 tokens and max_tokens is 11");
  v1::CompletionRequest other = Request("x", 4);
  other.set_model("huge");
  ExpectRefused(other, grpc::NOT_FOUND, "this replica serves tiny");
  v1::CompletionRequest hot = Request("x", 4);
  hot.mutable_sampling()->set_temperature(-1);
  ExpectRefused(hot, grpc::INVALID_ARGUMENT, "temperature is -1");
  engine_->Drain();
  ExpectRefused(Request("x", 4), grpc::UNAVAILABLE, "draining");
}

TEST_F(ReplicaServiceTest, AFullQueueIsSaidAndEmptiesAgain) {
  StepGate gate;
  Start(Reciting("x"), &gate, 2);
  GenerationRequest request;
  request.prompt = {'a', '\n'};
  request.sampling.max_tokens = 3;
  std::vector<std::shared_ptr<GenerationStream>> streams;
  for (int i = 0; i < 3; ++i) {  // one runs, two wait
    ASSERT_OK_AND_ASSIGN(streams.emplace_back(), engine_->Submit(request));
    if (i == 0) gate.AwaitArrival(1);
  }
  ExpectRefused(Request("b\n", 3), grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full: 2");
  gate.Allow(1000);
  AwaitIdle();
  v1::GenerationResponse response;
  EXPECT_TRUE(Complete(Request("b\n", 3), response).ok());
}

TEST_F(ReplicaServiceTest, AModelThatFailsForOneAnswersTheOthers) {
  FakeRunnerOptions runner = Reciting("fine");
  runner.next = [next = runner.next](const std::vector<int32_t>& context) {
    if (context[0] == '!') throw std::runtime_error("a broken kernel");
    return next(context);
  };
  Start(runner);
  v1::GenerationResponse response;
  std::thread neighbour([&] { EXPECT_TRUE(Complete(Request("a\n", 9), response).ok()); });
  ExpectRefused(Request("!\n", 9), grpc::StatusCode::INTERNAL, "the model failed");
  neighbour.join();
  EXPECT_EQ(response.choices(0).text(), "fine");
}

TEST_F(ReplicaServiceTest, OnlyTheFabricMayAsk) {
  Start();
  const auto code = [&](const std::string& kind, const std::string& name) {
    const std::unique_ptr<v1::InferenceService::Stub> stub = NewStub(kind, name);
    grpc::ClientContext context;
    PrepareContext(context, absl::Seconds(20));
    v1::ListModelsResponse response;
    const grpc::Status status = stub->ListModels(&context, {}, &response);
    EXPECT_EQ(response.models_size(), status.ok() ? 1 : 0);
    if (status.ok()) {
      EXPECT_EQ(response.models(0).version(), "retail/tiny@1");
    }
    return status.error_code();
  };
  EXPECT_EQ(code("gateway", "g"), grpc::OK);
  EXPECT_EQ(code("controller", "c"), grpc::OK);
  EXPECT_EQ(code("component", "cli"), grpc::OK);
  EXPECT_EQ(code("user", "admin"), grpc::OK);
  EXPECT_EQ(code("user", "bob"), grpc::PERMISSION_DENIED);
  EXPECT_EQ(code("job", "j"), grpc::PERMISSION_DENIED);
  EXPECT_EQ(code("node", "n"), grpc::PERMISSION_DENIED);
}

TEST_F(ReplicaServiceTest, StrangersGetNoHandshake) {
  Start();
  *ca_ = *CertificateAuthority::Create();  // a CA that the server does not know
  const std::unique_ptr<v1::InferenceService::Stub> stub = NewStub("gateway", "g");
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
  v1::ListModelsResponse response;
  const grpc::StatusCode code = stub->ListModels(&context, {}, &response).error_code();
  EXPECT_TRUE(code == grpc::UNAVAILABLE || code == grpc::DEADLINE_EXCEEDED) << code;
}

TEST_F(ReplicaServiceTest, ClientThatGoesAwayFreesItsBlocks) {
  StepGate gate;
  Start({}, &gate);
  {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::GenerationChunk>> reader =
        stub_->CompleteStream(&context, Request("leaving soon", 150));
    gate.Allow(3);
    v1::GenerationChunk chunk;
    ASSERT_TRUE(reader->Read(&chunk));
    gate.AwaitArrival(4);
    EXPECT_LT(engine_->stats().num_free_blocks, engine_->stats().num_blocks);
    context.TryCancel();
    while (reader->Read(&chunk)) {
    }
    EXPECT_EQ(reader->Finish().error_code(), grpc::CANCELLED);
  }
  // The engine stands before a step: let it do one at a time until it has heard of the
  // cancellation.
  for (int i = 0; i < 100 && engine_->stats().num_running > 0; ++i) {
    gate.Allow(1);
    absl::SleepFor(absl::Milliseconds(5));
  }
  AwaitIdle();
  EXPECT_EQ(engine_->stats().num_free_blocks, engine_->stats().num_blocks);
  EXPECT_LT(engine_->stats().num_steps, 150);
}

TEST_F(ReplicaServiceTest, DeadlineEndsTheRequest) {
  StepGate gate;
  Start({}, &gate);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  v1::GenerationResponse response;
  EXPECT_EQ(stub_->Complete(&context, Request("late", 150), &response).error_code(),
            grpc::DEADLINE_EXCEEDED);
  gate.Allow(1000);
  AwaitIdle();
  EXPECT_EQ(engine_->stats().num_free_blocks, engine_->stats().num_blocks);
}

TEST_F(ReplicaServiceTest, ManyStreamsAtOnceAllEndRight) {
  FakeRunnerOptions tight;
  tight.num_blocks = 55;
  Start(tight);
  std::vector<std::string> alone(12), together(12);
  const auto ask = [&](int i, std::string& out) {
    grpc::ClientContext context;
    PrepareContext(context, absl::Seconds(30));
    v1::CompletionRequest request = Request(std::string(1 + 5 * i, static_cast<char>('a' + i)), 80);
    request.set_tenant(absl::StrCat("t", i % 3));
    std::unique_ptr<grpc::ClientReader<v1::GenerationChunk>> reader =
        stub_->CompleteStream(&context, request);
    v1::GenerationChunk chunk;
    while (reader->Read(&chunk)) out += chunk.text();
    EXPECT_TRUE(reader->Finish().ok());
  };
  for (int i = 0; i < 12; ++i) ask(i, alone[i]);
  std::vector<std::thread> threads;
  for (int i = 0; i < 12; ++i) threads.emplace_back(ask, i, std::ref(together[i]));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(together, alone);
}

}  // namespace
}  // namespace oneai::serving
