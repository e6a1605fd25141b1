// The binary: it starts in a task's environment, answers, drains on SIGTERM, and refuses what it
// cannot serve with a reason.
#include <signal.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/grpc/channel.h"
#include "base/process/child_process.h"
#include "models/tokenizer/tokenizer_files.h"
#include "oneai/inference/v1/adapters.grpc.pb.h"
#include "oneai/inference/v1/inference.grpc.pb.h"
#include "tests/serving/byte_tokenizer.h"
#include "tests/testing/paths.h"

namespace oneai::serving {
namespace {

namespace fs = std::filesystem;
namespace v1 = ::oneai::inference::v1;
using ::testing::HasSubstr;

class OneaiServeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    task_ = fs::path(::testing::TempDir()) /
            absl::StrCat("serve-", getpid(), "-",
                         ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(task_);
    fs::create_directories(task_ / "tls");
    fs::create_directories(task_ / "model");
    // The golden Qwen3 (512 ids) with a tokenizer of 259 tokens.
    for (const char* file : {"config.json", "generation_config.json", "model.safetensors"}) {
      fs::copy_file(testing::DataDir() / "golden" / golden() / file, task_ / "model" / file);
    }
    ASSERT_OK(
        models::SaveTokenizer(ByteTokenizerSpec(), models::TokenizerConfig(), task_ / "model"));
    ca_ = std::make_unique<CertificateAuthority>(*CertificateAuthority::Create());
    const absl::StatusOr<KeyPair> pair = ca_->Issue({"job", "replica", {"localhost", "127.0.0.1"}});
    ASSERT_OK(pair);
    Write("tls/ca.crt", ca_->certificate_pem());
    Write("tls/task.crt", pair->certificate_pem);
    Write("tls/task.key", pair->private_key_pem);
    Write("config.json",
          absl::StrCat(R"({"model_dir": ")", (task_ / "model").string(),
                       R"(", "model_name": "tiny", "max_context_tokens": 256, "num_threads": 1})"));
  }
  virtual const char* golden() const { return "qwen3"; }
  void TearDown() override {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    fs::remove_all(task_);
  }

  void Write(const std::string& file, const std::string& text) {
    std::ofstream(task_ / file) << text;
  }
  std::string Output() { return ReadFile(task_ / "output.log").value_or(""); }

  void Start() {
    ChildOptions options;
    options.argv = {(testing::BinDir() / "oneai-serve").string()};
    options.env = {{"ONEAI_TASK_DIR", task_.string()},
                   {"ONEAI_READY_FILE", (task_ / "ready").string()},
                   {"PATH", "/usr/bin"}};
    if (!cache_dir_.empty()) options.env["ONEAI_CACHE_DIR"] = cache_dir_;
    options.output_file = (task_ / "output.log").string();
    options.die_with_parent = true;
    ASSERT_OK_AND_ASSIGN(pid_, SpawnChild(options));
  }
  // Returns the port once the server is ready.
  int AwaitReady() {
    for (int i = 0; i < 2000; ++i) {
      const absl::StatusOr<std::string> ready = ReadFile(task_ / "ready");
      int port = 0;
      if (ready.ok() && absl::SimpleAtoi(absl::StripAsciiWhitespace(*ready), &port)) return port;
      absl::SleepFor(absl::Milliseconds(10));
    }
    ADD_FAILURE() << "never ready: " << Output();
    return 0;
  }
  int ExitStatus() {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  void ExpectRefusal(const std::string& reason) {
    Start();
    EXPECT_EQ(ExitStatus(), 2);
    EXPECT_THAT(Output(), HasSubstr(reason));
  }

  fs::path task_;
  std::unique_ptr<CertificateAuthority> ca_;
  pid_t pid_ = 0;
  std::string cache_dir_;
};

TEST_F(OneaiServeTest, AnswersAndDrains) {
  Start();
  const int port = AwaitReady();
  const absl::StatusOr<KeyPair> pair = ca_->Issue({"gateway", "g", {"localhost"}});
  ASSERT_OK(pair);
  const std::unique_ptr<v1::InferenceService::Stub> stub = v1::InferenceService::NewStub(
      NewChannel(absl::StrCat("127.0.0.1:", port),
                 {ca_->certificate_pem(), pair->certificate_pem, pair->private_key_pem}));
  v1::CompletionRequest request;
  request.set_text("Once upon a time");
  request.mutable_sampling()->set_seed(3);
  request.mutable_sampling()->set_max_tokens(20);
  request.mutable_sampling()->set_ignore_eos(true);
  grpc::ClientContext context;
  PrepareContext(context, absl::Seconds(30));
  v1::GenerationResponse response;
  const grpc::Status status = stub->Complete(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.usage().completion_tokens(), 20);
  for (int32_t id : response.choices(0).token_ids()) EXPECT_LT(id, kNumByteTokens);

  // What runs when the signal comes is finished.
  grpc::ClientContext stream_context;
  PrepareContext(stream_context, absl::Seconds(30));
  request.mutable_sampling()->set_max_tokens(200);
  std::unique_ptr<grpc::ClientReader<v1::GenerationChunk>> reader =
      stub->CompleteStream(&stream_context, request);
  v1::GenerationChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  kill(pid_, SIGTERM);
  while (reader->Read(&chunk)) {
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(chunk.usage().completion_tokens(), 200);
  EXPECT_EQ(ExitStatus(), 0);
}

class AdapterServingTest : public OneaiServeTest {
 protected:
  const char* golden() const override { return "qwen2_lora"; }

  void StartAndConnect() {
    Start();
    const int port = AwaitReady();
    const auto channel = [&](const char* kind) {
      const absl::StatusOr<KeyPair> pair = ca_->Issue({kind, "c", {"localhost"}});
      EXPECT_OK(pair);
      return NewChannel(absl::StrCat("127.0.0.1:", port),
                        {ca_->certificate_pem(), pair->certificate_pem, pair->private_key_pem});
    };
    stub_ = v1::InferenceService::NewStub(channel("gateway"));
    stranger_ = v1::AdapterService::NewStub(channel("gateway"));
    control_ = v1::AdapterService::NewStub(channel("controller"));
  }
  grpc::Status Load(const std::string& name, const fs::path& folder) {
    v1::LoadAdapterRequest request;
    request.mutable_adapter()->set_name(name);
    request.mutable_adapter()->set_folder(folder.string());
    v1::AdapterCard card;
    grpc::ClientContext context;
    PrepareContext(context, absl::Seconds(30));
    return control_->LoadAdapter(&context, request, &card);
  }
  static grpc::Status Unload(v1::AdapterService::Stub& stub, const std::string& name) {
    v1::UnloadAdapterRequest request;
    request.set_name(name);
    v1::UnloadAdapterResponse response;
    grpc::ClientContext context;
    PrepareContext(context, absl::Seconds(30));
    return stub.UnloadAdapter(&context, request, &response);
  }
  static v1::CompletionRequest Ask(const std::string& model, int max_tokens) {
    v1::CompletionRequest request;
    request.set_model(model);
    request.set_text("Once upon a time");
    request.mutable_sampling()->set_temperature(0);
    request.mutable_sampling()->set_max_tokens(max_tokens);
    request.mutable_sampling()->set_ignore_eos(true);
    return request;
  }
  grpc::StatusCode Answers(const std::string& model) {
    grpc::ClientContext context;
    PrepareContext(context, absl::Seconds(30));
    v1::GenerationResponse response;
    return stub_->Complete(&context, Ask(model, 8), &response).error_code();
  }
  std::vector<std::string> Listed() {
    grpc::ClientContext context;
    PrepareContext(context, absl::Seconds(30));
    v1::ListModelsResponse response;
    EXPECT_TRUE(stub_->ListModels(&context, v1::ListModelsRequest(), &response).ok());
    return {response.models(0).adapters().begin(), response.models(0).adapters().end()};
  }
  fs::path Adapter(const char* name) const {
    return testing::DataDir() / "golden" / "qwen2_lora" / name;
  }

  std::unique_ptr<v1::InferenceService::Stub> stub_;
  std::unique_ptr<v1::AdapterService::Stub> control_, stranger_;
};

TEST_F(AdapterServingTest, AdaptersComeAndGoWhileRequestsRun) {
  StartAndConnect();
  EXPECT_EQ(Answers("tiny:law"), grpc::StatusCode::NOT_FOUND);
  ASSERT_TRUE(Load("law", Adapter("adapter_a")).ok());
  ASSERT_TRUE(Load("care", Adapter("adapter_b")).ok());
  EXPECT_THAT(Listed(), ::testing::ElementsAre("care", "law"));
  EXPECT_EQ(Answers("tiny:law"), grpc::StatusCode::OK);

  // A request that runs keeps its adapter; the answer is the one that it began.
  grpc::ClientContext whole_context, stream_context;
  PrepareContext(whole_context, absl::Seconds(30));
  PrepareContext(stream_context, absl::Seconds(30));
  v1::GenerationResponse whole;
  ASSERT_TRUE(stub_->Complete(&whole_context, Ask("tiny:law", 230), &whole).ok());
  const auto reader = stub_->CompleteStream(&stream_context, Ask("tiny:law", 230));
  v1::GenerationChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  std::vector<int32_t> ids(chunk.token_ids().begin(), chunk.token_ids().end());
  grpc::Status unloaded;
  std::thread unload([&] { unloaded = Unload(*control_, "law"); });
  while (reader->Read(&chunk))
    ids.insert(ids.end(), chunk.token_ids().begin(), chunk.token_ids().end());
  EXPECT_TRUE(reader->Finish().ok());
  unload.join();
  EXPECT_TRUE(unloaded.ok()) << unloaded.error_message();
  EXPECT_EQ(ids, std::vector<int32_t>(whole.choices(0).token_ids().begin(),
                                      whole.choices(0).token_ids().end()));

  EXPECT_EQ(Answers("tiny:law"), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Answers("tiny:care"), grpc::StatusCode::OK);
  EXPECT_EQ(Answers("tiny"), grpc::StatusCode::OK);
  EXPECT_THAT(Listed(), ::testing::ElementsAre("care"));
  EXPECT_EQ(Unload(*control_, "law").error_code(), grpc::StatusCode::NOT_FOUND);
  ASSERT_TRUE(Load("law", Adapter("adapter_b")).ok());  // the name is free again
}

TEST_F(AdapterServingTest, WhatDoesNotFitIsRefusedAndNothingChanges) {
  fs::create_directories(task_ / "wrong");
  for (const auto& file : fs::directory_iterator(Adapter("adapter_a")))
    fs::copy_file(file.path(), task_ / "wrong" / file.path().filename());
  std::string config = *ReadFile(task_ / "wrong" / "adapter_config.json");
  config.replace(config.find("\"r\": 8"), 6, "\"r\": 4");
  fs::remove(task_ / "wrong" / "adapter_config.json");
  Write("wrong/adapter_config.json", config);
  StartAndConnect();
  const auto expect = [](const grpc::Status& status, grpc::StatusCode code,
                         const std::string& reason) {
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(reason));
  };
  expect(Load("law", task_ / "wrong"), grpc::StatusCode::INVALID_ARGUMENT, "adapter law");
  expect(Load("law", task_ / "absent"), grpc::StatusCode::NOT_FOUND, "absent");
  expect(Load("../law", Adapter("adapter_a")), grpc::StatusCode::INVALID_ARGUMENT, "letters");
  expect(Load("", Adapter("adapter_a")), grpc::StatusCode::INVALID_ARGUMENT, "letters");
  ASSERT_TRUE(Load("law", Adapter("adapter_a")).ok());
  expect(Load("law", Adapter("adapter_b")), grpc::StatusCode::ALREADY_EXISTS, "unload it first");
  expect(Unload(*stranger_, "law"), grpc::StatusCode::PERMISSION_DENIED, "gateway");
  EXPECT_THAT(Listed(), ::testing::ElementsAre("law"));
  for (int i = 1; i < 64; ++i)
    ASSERT_TRUE(Load(absl::StrCat("a", i), Adapter("adapter_a")).ok()) << i;
  expect(Load("a64", Adapter("adapter_a")), grpc::StatusCode::RESOURCE_EXHAUSTED, "64 adapters");
}

TEST_F(OneaiServeTest, PackedWeightsGoToTheNodesCache) {
  cache_dir_ = (task_ / "cache").string();
  Start();
  AwaitReady();
  kill(pid_, SIGTERM);
  EXPECT_EQ(ExitStatus(), 0);
  ASSERT_TRUE(fs::is_directory(task_ / "cache" / "weights"));
  EXPECT_FALSE(fs::is_empty(task_ / "cache" / "weights"));
}

TEST_F(OneaiServeTest, UnknownSettingIsRefused) {
  Write("config.json", R"({"model_dir": "m", "model_name": "tiny", "max_token": 3})");
  ExpectRefusal("max_token");
}

TEST_F(OneaiServeTest, MissingModelFolderIsNamed) {
  Write("config.json", R"({"model_dir": "/nowhere/at/all", "model_name": "tiny"})");
  ExpectRefusal("/nowhere/at/all");
}

TEST_F(OneaiServeTest, TruncatedWeightsNameTheFile) {
  fs::resize_file(task_ / "model" / "model.safetensors", 100'000);
  ExpectRefusal("model.safetensors");
}

TEST_F(OneaiServeTest, MissingTensorIsNamed) {
  absl::StatusOr<std::string> config = ReadFile(task_ / "model" / "config.json");
  ASSERT_OK(config);
  const std::string layers = "\"num_hidden_layers\": 3";
  ASSERT_NE(config->find(layers), std::string::npos);
  config->replace(config->find(layers), layers.size(), "\"num_hidden_layers\": 4");
  Write("model/config.json", *config);
  ExpectRefusal("model.layers.3.");
}

TEST_F(OneaiServeTest, MissingTokenizerIsNamed) {
  fs::remove(task_ / "model" / "tokenizer.json");
  ExpectRefusal("tokenizer.json");
}

TEST_F(OneaiServeTest, ContextBeyondTheModelIsRefused) {
  Write("config.json", absl::StrCat(R"({"model_dir": ")", (task_ / "model").string(),
                                    R"(", "model_name": "tiny", "max_context_tokens": 4096})"));
  ExpectRefusal("the model was made for 1024");
}

TEST_F(OneaiServeTest, MissingCertificateIsNamed) {
  fs::remove(task_ / "tls" / "task.crt");
  ExpectRefusal("task.crt");
}

}  // namespace
}  // namespace oneai::serving
