// Whole runs of RunPretrain (model_platform/train/pretrain.h) in processes of their own: killed,
// stopped, out of space, resumed.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "model_platform/train/checkpoint_folder.h"
#include "models/json/json_reader.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::platform {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;

constexpr int kSteps = 80, kSaveSteps = 10;

// A port that is free now. Whoever takes it in between makes the test fail loudly, not wrongly.
int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

class PretrainTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(::testing::TempDir()) /
            ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
    fs::create_directories(root_);
    std::ofstream corpus(root_ / "corpus.txt");
    for (int i = 0; i < 300; ++i) {
      corpus << "line " << i << ": the quick brown fox counts to " << i * i << "\n\n";
    }
    std::ofstream(root_ / "settings.json") << absl::StrCat(
        R"({"dataset": "retail/fox", "tokenizer": {"vocab_size": 300}, "max_length": 32,
            "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2,
            "model": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
                      "num_attention_heads": 2},
            "learning_rate": 0.01, "warmup_steps": 5, "logging_steps": 1, "max_steps": )",
        kSteps, R"(, "save_steps": )", kSaveSteps, R"(, "register_as": "retail/fox-model"})");
  }
  void TearDown() override {
    for (const pid_t pid : running_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
  }

  // Starts all ranks of an attempt of job `job`. A file may grow to `file_bytes_max` only.
  std::vector<pid_t> Start(const std::string& job, int world_size, int attempt,
                           rlim_t file_bytes_max = RLIM_INFINITY, int num_tasks_max = 0) {
    const int port = FreePort();
    std::vector<pid_t> pids;
    fs::create_directories(root_ / job / "artifacts");
    for (int rank = 0; rank < world_size; ++rank) {
      const fs::path task = TaskDir(job, rank, attempt);
      fs::create_directories(task);
      const std::vector<std::string> env = {
          absl::StrCat("ONEAI_NUM_TASKS_MAX=", std::max(num_tasks_max, world_size)),
          absl::StrCat("RANK=", rank),
          absl::StrCat("WORLD_SIZE=", world_size),
          "MASTER_ADDR=127.0.0.1",
          absl::StrCat("MASTER_PORT=", port),
          "ONEAI_JOB_ID=" + job,
          absl::StrCat("ONEAI_ATTEMPT=", attempt),
          "ONEAI_TASK_DIR=" + task.string(),
          "ONEAI_ARTIFACT_DIR=" + Artifacts(job).string(),
          "ONEAI_REGISTRY_DIR=/nowhere",
          "ONEAI_CONTROLLER=none",
          "ONEAI_METRICS_FILE=" + (task / "metrics.jsonl").string(),
          "OMP_NUM_THREADS=1"};
      pids.push_back(Spawn(env, task / "output.log", file_bytes_max));
    }
    running_ = pids;
    return pids;
  }

  // Exit status, or 128 + signal. Every rank ends by itself, one way or another.
  std::vector<int> Wait(const std::vector<pid_t>& pids) {
    std::vector<int> codes;
    for (const pid_t pid : pids) {
      int status = 0;
      EXPECT_EQ(waitpid(pid, &status, 0), pid);
      codes.push_back(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
    running_.clear();
    return codes;
  }

  // Returns as soon as the checkpoint is there; false when a minute has passed.
  bool AwaitCheckpoint(const std::string& job, int64_t step) {
    const absl::Time deadline = absl::Now() + absl::Minutes(1);
    while (!fs::exists(Artifacts(job) / CheckpointName(step))) {
      if (absl::Now() > deadline) return false;
      usleep(200);
    }
    return true;
  }

  // The loss of each step, as the bits that were written.
  std::map<int64_t, std::string> Losses(const std::string& job, int attempt) {
    std::map<int64_t, std::string> losses;
    for (const models::Json& line : MetricLines(job, attempt)) {
      if (line.contains("loss")) {
        losses[line["step"]] = line["loss"].dump() + " " + line["grad_norm"].dump();
      }
    }
    return losses;
  }
  std::vector<std::string> Events(const std::string& job, int attempt) {
    std::vector<std::string> events;
    for (const models::Json& line : MetricLines(job, attempt)) {
      if (line.contains("event")) events.push_back(line["event"]);
    }
    return events;
  }
  std::string Output(const std::string& job, int rank, int attempt) {
    return *ReadFile(TaskDir(job, rank, attempt) / "output.log");
  }
  fs::path Artifacts(const std::string& job) const { return root_ / job / "artifacts"; }
  fs::path TaskDir(const std::string& job, int rank, int attempt) const {
    return root_ / job / absl::StrCat("task.", rank, ".", attempt);
  }

  // The undisturbed run of this many ranks.
  std::map<int64_t, std::string> Reference(int world_size) {
    const std::string job = absl::StrCat("reference", world_size);
    const std::vector<int> codes = Wait(Start(job, world_size, 1));
    for (const int code : codes) EXPECT_EQ(code, 0) << Output(job, 0, 1);
    return Losses(job, 1);
  }

  // Every step that `resumed` shows has the reference's loss, and together with `first` all are
  // there.
  void ExpectSameLosses(const std::map<int64_t, std::string>& reference,
                        std::map<int64_t, std::string> first,
                        const std::map<int64_t, std::string>& resumed) {
    ASSERT_EQ(reference.size(), static_cast<size_t>(kSteps));
    for (const auto& [step, loss] : resumed) EXPECT_EQ(loss, reference.at(step)) << step;
    first.insert(resumed.begin(), resumed.end());
    EXPECT_EQ(first, reference);
  }

  fs::path root_;

 private:
  pid_t Spawn(const std::vector<std::string>& env, const fs::path& output, rlim_t file_bytes_max) {
    const std::string binary =
        (oneai::testing::BinDir().parent_path() / "tests" / "model_platform_rank_main").string();
    const std::string settings = (root_ / "settings.json").string();
    const std::string corpus = (root_ / "corpus.txt").string();
    std::vector<char*> argv = {const_cast<char*>(binary.c_str()),
                               const_cast<char*>(settings.c_str()),
                               const_cast<char*>(corpus.c_str()), nullptr};
    std::vector<char*> envp;
    for (const std::string& variable : env) envp.push_back(const_cast<char*>(variable.c_str()));
    envp.push_back(nullptr);
    const pid_t pid = fork();
    if (pid != 0) return pid;
    const int fd = open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    if (file_bytes_max != RLIM_INFINITY) {
      const rlimit limit = {file_bytes_max, file_bytes_max};
      setrlimit(RLIMIT_FSIZE, &limit);
      signal(SIGXFSZ, SIG_IGN);
    }
    execve(binary.c_str(), argv.data(), envp.data());
    _exit(127);
  }

  std::vector<models::Json> MetricLines(const std::string& job, int attempt) {
    std::vector<models::Json> lines;
    std::ifstream file(TaskDir(job, 0, attempt) / "metrics.jsonl");
    for (std::string line; std::getline(file, line);) lines.push_back(models::Json::parse(line));
    return lines;
  }

  std::vector<pid_t> running_;
};

TEST_F(PretrainTest, KilledAndResumedRunHasTheLossesOfAnUndisturbedOne) {
  const auto reference = Reference(1);
  const auto pids = Start("killed", 1, 1);
  ASSERT_TRUE(AwaitCheckpoint("killed", 2 * kSaveSteps));
  kill(pids[0], SIGKILL);
  ASSERT_EQ(Wait(pids), std::vector<int>{128 + SIGKILL});
  EXPECT_EQ(Wait(Start("killed", 1, 2)), std::vector<int>{0}) << Output("killed", 0, 2);
  const auto resumed = Losses("killed", 2);
  EXPECT_THAT(resumed, Not(Contains(Key(2 * kSaveSteps))));
  ExpectSameLosses(reference, Losses("killed", 1), resumed);
  EXPECT_THAT(Events("killed", 2), Contains("job.resumed"));
  EXPECT_THAT(Events("killed", 2), Contains("model.registered"));
}

TEST_F(PretrainTest, AnElasticRunThatLostARankGoesOnWithTheSameGlobalBatch) {
  const auto reference = Reference(2);
  const auto pids = Start("elastic", 2, 1);
  ASSERT_TRUE(AwaitCheckpoint("elastic", 2 * kSaveSteps));
  for (const pid_t pid : pids) kill(pid, SIGKILL);
  Wait(pids);
  EXPECT_EQ(Wait(Start("elastic", 1, 2, RLIM_INFINITY, 2)), std::vector<int>{0})
      << Output("elastic", 0, 2);
  const auto resumed = Losses("elastic", 2);
  EXPECT_EQ(resumed.rbegin()->first, kSteps);
  // Sums over ranks and over micro-batches round differently, nothing more.
  for (const auto& [step, loss] : resumed)
    EXPECT_NEAR(std::stod(loss), std::stod(reference.at(step)), 0.02) << step;
}

TEST_F(PretrainTest, KilledRankBringsTheGangDownAndTheNextAttemptResumesExactly) {
  const auto reference = Reference(2);
  const auto pids = Start("gang", 2, 1);
  ASSERT_TRUE(AwaitCheckpoint("gang", 2 * kSaveSteps));
  kill(pids[1], SIGKILL);
  EXPECT_EQ(Wait(pids), (std::vector<int>{1, 128 + SIGKILL}));
  EXPECT_THAT(Output("gang", 0, 1), HasSubstr("another rank is gone"));
  EXPECT_EQ(Wait(Start("gang", 2, 2)), (std::vector<int>{0, 0})) << Output("gang", 0, 2);
  ExpectSameLosses(reference, Losses("gang", 1), Losses("gang", 2));
}

TEST_F(PretrainTest, BrokenNewestCheckpointIsPassedOver) {
  const auto reference = Reference(1);
  const auto pids = Start("broken", 1, 1);
  ASSERT_TRUE(AwaitCheckpoint("broken", 2 * kSaveSteps));
  kill(pids[0], SIGKILL);
  Wait(pids);
  const auto newest = FindNewestWhole(Artifacts("broken"), [](const auto&, const auto&) {});
  ASSERT_TRUE(newest.has_value());
  fs::resize_file(newest->folder / "trainer" / "optimizer.safetensors", 1000);
  EXPECT_EQ(Wait(Start("broken", 1, 2)), std::vector<int>{0}) << Output("broken", 0, 2);
  EXPECT_THAT(Events("broken", 2), Contains("checkpoint.failed"));
  ExpectSameLosses(reference, Losses("broken", 1), Losses("broken", 2));
}

TEST_F(PretrainTest, TerminatedGangSavesAtTheNextStepAndExits143) {
  const auto reference = Reference(2);
  const auto pids = Start("stopped", 2, 1);
  ASSERT_TRUE(AwaitCheckpoint("stopped", kSaveSteps));
  kill(pids[1], SIGTERM);  // one rank is told, all stop
  EXPECT_EQ(Wait(pids), (std::vector<int>{143, 143}));
  const auto first = Losses("stopped", 1);
  const auto saved = FindNewestWhole(Artifacts("stopped"), [](const auto&, const auto&) {});
  ASSERT_TRUE(saved.has_value());
  EXPECT_EQ(saved->step, first.rbegin()->first);
  EXPECT_EQ(Wait(Start("stopped", 2, 2)), (std::vector<int>{0, 0})) << Output("stopped", 0, 2);
  ExpectSameLosses(reference, first, Losses("stopped", 2));
}

TEST_F(PretrainTest, FullDiskFailsTheCheckpointAndNotTheTraining) {
  // Enough for tokens, tokenizer and model, too little for the optimizer's state.
  EXPECT_EQ(Wait(Start("full", 1, 1, 150'000)), std::vector<int>{0}) << Output("full", 0, 1);
  EXPECT_EQ(Losses("full", 1).size(), static_cast<size_t>(kSteps));
  EXPECT_THAT(Events("full", 1), Contains("checkpoint.failed"));
  EXPECT_THAT(Events("full", 1), Not(Contains("checkpoint.saved")));
  for (const auto& entry : fs::directory_iterator(Artifacts("full"))) {
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("tmp")));
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("checkpoint")));
  }
}

TEST_F(PretrainTest, StaleAttemptIsTurnedAway) {
  ASSERT_OK(WriteFileAtomically(
      (fs::create_directories(Artifacts("stale")), Artifacts("stale")) / "attempt", "7\n"));
  EXPECT_EQ(Wait(Start("stale", 1, 3)), std::vector<int>{1});
  EXPECT_THAT(Output("stale", 0, 3), HasSubstr("attempt 7"));
}

TEST_F(PretrainTest, LossFallsAndTheModelIsWhole) {
  ASSERT_EQ(Wait(Start("falls", 1, 1)), std::vector<int>{0}) << Output("falls", 0, 1);
  const auto losses = Losses("falls", 1);
  EXPECT_LT(std::stod(losses.at(kSteps)), 0.75 * std::stod(losses.at(1)));
  const fs::path final = Artifacts("falls") / "final";
  EXPECT_OK(VerifyFolder(final));
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.json",
                           "tokenizer_config.json", "generation_config.json", "README.md"}) {
    EXPECT_TRUE(fs::exists(final / name)) << name;
  }
  // save_total_limit is 2.
  EXPECT_FALSE(fs::exists(Artifacts("falls") / CheckpointName(kSteps - 2 * kSaveSteps)));
  EXPECT_TRUE(fs::exists(Artifacts("falls") / CheckpointName(kSteps - kSaveSteps)));
}

}  // namespace
}  // namespace oneai::platform
