// A whole fabric beside a real Slurm cluster, used by the command line: the fabric places, Slurm
// launches.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/process/child_process.h"
#include "base/process/run_command.h"
#include "tests/compute_fabric/slurm/slurm_cluster.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai::fabric {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr char kPortBase[] = "17400";
constexpr char kController[] = "127.0.0.1:17400";

class SlurmFabricTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = SlurmCluster::WhyNot(); !why.empty()) GTEST_SKIP() << why;
    auto cluster = SlurmCluster::Start(dir_.path() / "slurm", {.gpus = 2});
    ASSERT_OK(cluster);
    cluster_ = *std::move(cluster);
    ASSERT_EQ(
        Oneai({"up", "--detach", "--port-base", kPortBase, "--nodes", "1", "--asic-nodes", "0"})
            .exit_code,
        0);
    is_up_ = true;
    ASSERT_EQ(Oneai({"enroll", "slurm", "--kind", "pool", "--out", (dir_.path() / "pool").string()})
                  .exit_code,
              0);
    StartPool();
    ASSERT_TRUE(Eventually([&] {
      const std::string nodes = Oneai({"node", "list"}).standard_output;
      return nodes.find("slurm.n1") != std::string::npos &&
             nodes.find("slurm.n2") != std::string::npos &&
             nodes.find("slurm.n3") != std::string::npos;
    }));
  }
  void TearDown() override {
    if (is_up_) Oneai({"down"});
    KillPool(SIGTERM);
    if (HasFailure()) ADD_FAILURE() << ReadFile(dir_.path() / "pool.log").value_or("no log");
  }

  CommandResult Oneai(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {(testing::BinDir() / "oneai").string(), "--dir",
                                         (dir_.path() / "fabric").string()});
    const auto result =
        RunCommand({.argv = arguments, .env = CurrentEnvironment(), .timeout = absl::Seconds(120)});
    EXPECT_OK(result);
    if (result.ok() && result->exit_code != 0) last_error_ = result->standard_error;
    return result.value_or(CommandResult{.exit_code = -1});
  }

  void StartPool() {
    const std::string pki = (dir_.path() / "pool").string();
    ChildOptions child;
    child.argv = {(testing::BinDir() / "oneai-slurm").string(),
                  "--state-dir",
                  (dir_.path() / "shared").string(),
                  "--controller",
                  kController,
                  "--tls-ca",
                  pki + "/ca.crt",
                  "--tls-cert",
                  pki + "/slurm.crt",
                  "--tls-key",
                  pki + "/slurm.key",
                  "--slurm-conf",
                  cluster_->config_file().string(),
                  "--ports",
                  "19500-19999",
                  "--kind",
                  "h100=nvidia-h100-80g"};
    child.env = CurrentEnvironment();
    child.output_file = (dir_.path() / "pool.log").string();
    child.die_with_parent = true;
    ASSERT_OK_AND_ASSIGN(pool_, SpawnChild(child));
  }
  void KillPool(int signal_number) {
    if (pool_ <= 0) return;
    kill(pool_, signal_number);
    while (waitpid(pool_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pool_ = 0;
  }

  template <typename Condition>
  bool Eventually(Condition condition) {
    const absl::Time deadline = absl::Now() + absl::Seconds(90);
    while (absl::Now() < deadline) {
      if (condition()) return true;
      absl::SleepFor(absl::Milliseconds(300));
    }
    return false;
  }

  // The id of a gang of `tasks` on as many nodes, two devices each.
  std::string Submit(int tasks, const std::string& script) {
    const std::filesystem::path file = dir_.path() / "job.yaml";
    EXPECT_OK(WriteFileAtomically(
        file, absl::StrCat("name: gang\nproject: retail/nlp\ncommand: [/bin/sh, -c, '", script,
                           "']\ntasks: ", tasks,
                           "\nspread: node\nresources:\n  cpus: 1\n  memory: 256MiB\n"
                           "  devices: [{kind: nvidia-h100-80g, count: 2}]\n")));
    const CommandResult result = Oneai({"job", "submit", "-f", file.string()});
    EXPECT_EQ(result.exit_code, 0) << result.standard_error;
    const std::string id(absl::StripAsciiWhitespace(result.standard_output));
    return id.substr(id.find("job-"), 14);
  }

  testing::TempDir dir_;
  std::unique_ptr<SlurmCluster> cluster_;
  bool is_up_ = false;
  pid_t pool_ = 0;
  std::string last_error_;
};

TEST_F(SlurmFabricTest, RunsAGangOnTheNodesThatTheFabricChose) {
  const std::string id =
      Submit(3,
             "echo rank $RANK of $WORLD_SIZE on $ONEAI_NODE is $SLURMD_NODENAME gpus "
             "$CUDA_VISIBLE_DEVICES");
  EXPECT_EQ(Oneai({"job", "wait", id}).exit_code, 0) << last_error_;
  for (int rank = 0; rank < 3; ++rank) {
    const std::string log =
        Oneai({"job", "logs", id, "--rank", absl::StrCat(rank)}).standard_output;
    EXPECT_THAT(log, MatchesRegex("rank [0-2] of 3 on slurm.n([1-3]) is n[1-3] gpus 0,1\n"));
    const size_t node = log.find("slurm.n");
    ASSERT_NE(node, std::string::npos);
    EXPECT_THAT(log, HasSubstr(absl::StrCat("is n", log.substr(node + 7, 1), " ")));
  }
}

TEST_F(SlurmFabricTest, SurvivesItsOwnDeathAndStopsOnCancel) {
  const std::string marker = (dir_.path() / "begun").string();
  const std::string id = Submit(1, absl::StrCat("echo begun >> ", marker, "; sleep 600"));
  ASSERT_TRUE(Eventually([&] { return ReadFile(marker).ok(); }));
  KillPool(SIGKILL);
  StartPool();
  ASSERT_TRUE(Eventually([&] {
    return Oneai({"job", "get", id}).standard_output.find("RUNNING") != std::string::npos;
  }));
  EXPECT_EQ(*ReadFile(marker), "begun\n");
  EXPECT_EQ(Oneai({"job", "cancel", id}).exit_code, 0);
  EXPECT_TRUE(Eventually([&] {
    return Oneai({"job", "get", id}).standard_output.find("CANCELLED") != std::string::npos;
  }));
  EXPECT_EQ(*ReadFile(marker), "begun\n");
  const SlurmClient client(cluster_->options());
  EXPECT_TRUE(Eventually([&] {
    const auto jobs = client.ListJobs();
    return jobs.ok() && std::all_of(jobs->begin(), jobs->end(), [](const SlurmJob& job) {
             return job.state == SlurmJobState::kFinished;
           });
  }));
}

}  // namespace
}  // namespace oneai::fabric
