// The oneai-model program: exit statuses, and what a kill leaves behind.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "models/weights/open_weights.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai::models {
namespace {

using ::oneai::testing::TempDir;
namespace fs = std::filesystem;

pid_t Start(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), (testing::BinDir() / "oneai-model").string());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid != 0) return pid;
  if (std::freopen("/dev/null", "w", stdout) == nullptr ||
      std::freopen("/dev/null", "w", stderr) == nullptr)
    _exit(127);
  execv(argv[0], argv.data());
  _exit(127);
}

// The exit status.
int RunTool(std::vector<std::string> arguments) {
  int status = 0;
  EXPECT_GT(waitpid(Start(std::move(arguments)), &status, 0), 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// config.json of a model of `vocab_size` x 256.
std::string WriteConfig(const TempDir& folder, int vocab_size) {
  const fs::path path = folder.path() / "config.json";
  std::ofstream(path) << R"({"model_type":"qwen3","vocab_size":)" << vocab_size
                      << R"(,"hidden_size":256,"intermediate_size":256,"num_hidden_layers":1,)"
                         R"("num_attention_heads":4,"num_key_value_heads":2,"head_dim":64,)"
                         R"("tie_word_embeddings":true,"torch_dtype":"bfloat16"})";
  return path.string();
}

TEST(ModelToolTest, ExitStatusesSayWhatHappened) {
  const TempDir folder;
  const std::string config = WriteConfig(folder, 400), model = (folder.path() / "m").string();
  EXPECT_EQ(RunTool({"init", "--config", config, "--seed", "2", model}), 0);
  EXPECT_EQ(RunTool({"init", "--config", config, model}), 5);
  EXPECT_EQ(RunTool({"init", "--config", "no-such-model", model + "2"}), 3);
  EXPECT_EQ(RunTool({"inspect", model, "--json", "--tensors"}), 0);
  EXPECT_EQ(RunTool({"inspect", model + "2"}), 3);
  EXPECT_EQ(RunTool({"verify", model}), 0);
  EXPECT_EQ(RunTool({"verify", model, "--no-such-flag"}), 2);
  EXPECT_EQ(RunTool({"quantize", model, model + ".gguf", "--type", "q4_k"}), 0);
  EXPECT_EQ(RunTool({"verify", model + ".gguf"}), 0);
  EXPECT_EQ(RunTool({"quantize", model, model + ".gguf", "--type", "q4_k"}), 5);
  EXPECT_EQ(RunTool({"quantize", model, model + "8", "--type", "int8"}), 0);
  EXPECT_EQ(RunTool({"verify", model + "8", "--checksums"}), 0);
  EXPECT_EQ(RunTool({"quantize", model, model + "3", "--type", "int3"}), 1);
  EXPECT_EQ(RunTool({"convert", model + ".gguf", model + "back", "--to", "safetensors"}), 0);
  fs::resize_file(model + ".gguf", fs::file_size(model + ".gguf") / 2);
  EXPECT_EQ(RunTool({"verify", model + ".gguf"}), 1);
}

TEST(ModelToolTest, AKillLeavesNothingThatLooksWhole) {
  const TempDir folder;
  const std::string config = WriteConfig(folder, 300'000);  // 154 MB
  const fs::path target = folder.path() / "m";
  const pid_t pid = Start({"init", "--config", config, "--threads", "1", target.string()});
  auto staging = [&] { return fs::path(target.string() + ".partial-" + std::to_string(pid)); };
  for (int i = 0; i < 10'000 && !fs::exists(staging()) && !fs::exists(target); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  kill(pid, SIGKILL);
  int status = 0;
  ASSERT_GT(waitpid(pid, &status, 0), 0);
  if (!WIFSIGNALED(status)) GTEST_SKIP() << "it was done before the signal came";
  EXPECT_FALSE(fs::exists(target));
  EXPECT_FALSE(OpenWeights(staging()).ok());
}

}  // namespace
}  // namespace oneai::models
