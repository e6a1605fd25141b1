// The binary: it starts in a task's environment, answers, drains on SIGTERM, and refuses what it
// cannot serve with a reason.
#include <signal.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/grpc/channel.h"
#include "base/process/child_process.h"
#include "models/tokenizer/tokenizer_files.h"
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
      fs::copy_file(testing::DataDir() / "golden" / "qwen3" / file, task_ / "model" / file);
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
