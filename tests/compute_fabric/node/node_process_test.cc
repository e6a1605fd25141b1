// Runs the real oneai-node and oneai-shim against a fake controller, over mutual TLS.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "base/auth/pki.h"
#include "base/files/files.h"
#include "base/grpc/server.h"
#include "base/process/child_process.h"
#include "compute_fabric/jobs/placed_attempt.h"
#include "compute_fabric/shim/process_table.h"
#include "compute_fabric/shim/task_files.h"
#include "tests/compute_fabric/node/fake_node_service.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

template <typename F>
bool Eventually(F condition) {
  for (int i = 0; i < 1500; ++i) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(20));
  }
  return false;
}

v1::TaskAssignment Shell(const std::string& job_id, const std::string& script, int attempt = 1) {
  v1::TaskAssignment task;
  task.set_job_id(job_id);
  task.set_attempt(attempt);
  for (const std::string& arg : {std::string("/bin/sh"), std::string("-c"), script}) {
    task.add_command(arg);
  }
  task.set_grace_ms(300);
  task.set_config_json("{}");
  task.set_ca_pem("ca");
  task.set_certificate_pem("certificate");
  task.set_private_key_pem("key");
  return task;
}

v1::TaskName NameOf(const v1::TaskAssignment& task) {
  v1::TaskName name;
  name.set_job_id(task.job_id());
  name.set_rank(task.rank());
  name.set_attempt(task.attempt());
  return name;
}

class NodeProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::path(::testing::TempDir()) /
           absl::StrCat("node.", getpid(), ".",
                        ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(dir_);
    ASSERT_OK_AND_ASSIGN(const CertificateAuthority ca, CertificateAuthority::Create());
    ASSERT_OK_AND_ASSIGN(const KeyPair server,
                         ca.Issue({"controller", "controller", {"localhost", "127.0.0.1"}}));
    ASSERT_OK_AND_ASSIGN(const KeyPair node, ca.Issue({"node", "node-a", {"localhost"}}));
    ASSERT_OK(WriteFileAtomically(dir_ / "ca.crt", ca.certificate_pem()));
    ASSERT_OK(WriteFileAtomically(dir_ / "node.crt", node.certificate_pem));
    ASSERT_OK(WriteFileAtomically(dir_ / "node.key", node.private_key_pem, 0600));
    options_.tls = {ca.certificate_pem(), server.certificate_pem, server.private_key_pem};
    StartServer();
  }
  void TearDown() override {
    service_.SetDesired({});
    if (agent_ > 0 && server_ != nullptr) {
      Eventually([&] { return NumLive() == 0; });
    }
    KillAgent(SIGKILL);
    if (server_ != nullptr) server_->Stop(absl::ZeroDuration());
    fs::remove_all(dir_);
  }

  void StartServer() {
    ASSERT_OK_AND_ASSIGN(server_, GrpcServer::Start(options_, {&service_}));
    // A restarted controller keeps its port.
    options_.address = absl::StrCat("127.0.0.1:", server_->port());
  }
  void StartAgent(const std::vector<std::string>& more = {}) {
    ChildOptions child;
    child.argv = {
        (oneai::testing::BinDir() / "oneai-node").string(), "--name=node-a",
        "--state-dir=" + (dir_ / "state").string(), "--controller=" + options_.address,
        "--tls-ca=" + (dir_ / "ca.crt").string(), "--tls-cert=" + (dir_ / "node.crt").string(),
        "--tls-key=" + (dir_ / "node.key").string(), "--cpus=4", "--memory=3GiB", "--label=rack=r1",
        // Scripts here tell pids and write files outside of their task's folder.
        "--isolation=" + isolation_};
    child.argv.insert(child.argv.end(), more.begin(), more.end());
    child.env = CurrentEnvironment();
    child.env["AGENT_SECRET"] = "must not reach tasks";
    for (const auto& [name, value] : agent_env_) child.env[name] = value;
    child.output_file = (dir_ / "agent.log").string();
    ASSERT_OK_AND_ASSIGN(agent_, SpawnChild(child));
  }
  int KillAgent(int signal_number) {
    if (agent_ <= 0) return 0;
    int status = 0;
    kill(agent_, signal_number);
    waitpid(agent_, &status, 0);
    agent_ = 0;
    return status;
  }
  int NumLive() const {
    int live = 0;
    const v1::HeartbeatRequest last = service_.last();
    for (const v1::TaskReport& report : last.tasks()) {
      live += report.state() == v1::TASK_RUNNING || report.state() == v1::TASK_STOPPING;
    }
    return live;
  }
  bool EventuallyInState(const std::string& job_id, v1::TaskState state) {
    const bool reached = Eventually([&] { return service_.Report(job_id).state() == state; });
    if (!reached) ADD_FAILURE() << ReadFile(dir_ / "agent.log").value_or("");
    return reached;
  }
  fs::path TaskDir(const std::string& job_id, int attempt = 1) const {
    return dir_ / "state" / "tasks" / absl::StrCat(job_id, ".0.", attempt);
  }
  pid_t PidFrom(const fs::path& file) {
    pid_t pid = 0;
    EXPECT_TRUE(Eventually([&] { return absl::SimpleAtoi(ReadFile(file).value_or(""), &pid); }));
    return pid;
  }
  static bool IsGone(pid_t pid) {
    const auto stat = ReadProcessStat(pid);
    return !stat.has_value() || stat->state == 'Z' || stat->state == 'X';
  }

  fs::path dir_;
  std::string isolation_ = "off";
  std::map<std::string, std::string> agent_env_;
  FakeNodeService service_;
  GrpcServerOptions options_;
  std::unique_ptr<GrpcServer> server_;
  pid_t agent_ = 0;
};

TEST_F(NodeProcessTest, DescribesTheMachine) {
  StartAgent();
  ASSERT_TRUE(Eventually([&] { return service_.num_heartbeats() > 0; }));
  const v1::NodeInfo node = service_.last().node();
  EXPECT_EQ(node.name(), "node-a");
  EXPECT_EQ(node.cpu_milli(), 4000);
  EXPECT_EQ(node.memory_bytes(), int64_t{3} << 30);
  EXPECT_EQ(node.labels().at("rack"), "r1");
  EXPECT_TRUE(node.labels().contains("arch"));
  ASSERT_GE(node.devices_size(), 1);
  EXPECT_EQ(node.devices(0).id(), "cpu-0");
  EXPECT_TRUE(node.devices(0).healthy());
  EXPECT_FALSE(service_.last().incarnation().empty());
}

TEST_F(NodeProcessTest, RunsATaskShipsItsOutputAndForgetsIt) {
  StartAgent();
  const v1::TaskAssignment task =
      Shell("job-a", "echo hello; echo '{\"step\":1}' >> $ONEAI_METRICS_FILE; env; exit 4");
  service_.SetDesired({task});
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_EXITED));
  EXPECT_EQ(service_.Report("job-a").exit_code(), 4);
  EXPECT_EQ(service_.Report("job-a").signal(), 0);
  ASSERT_TRUE(Eventually(
      [&] { return service_.LogEnded("job-a") && service_.LogEnded("job-a", v1::METRICS); }));
  EXPECT_THAT(service_.Log("job-a"), ::testing::StartsWith("hello\n"));
  EXPECT_THAT(service_.Log("job-a"), ::testing::Not(HasSubstr("AGENT_SECRET")));
  EXPECT_EQ(service_.Log("job-a", v1::METRICS), "{\"step\":1}\n");
  EXPECT_EQ(fs::status(TaskDir("job-a") / "tls" / "task.key").permissions(),
            fs::perms::owner_read | fs::perms::owner_write);

  service_.SetDesired({}, {NameOf(task)});
  ASSERT_TRUE(Eventually([&] { return service_.last().tasks().empty(); }));
  EXPECT_FALSE(fs::exists(TaskDir("job-a")));
  // An answer that comes late must not run the attempt again.
  service_.SetDesired({task});
  absl::SleepFor(absl::Milliseconds(500));
  EXPECT_FALSE(fs::exists(TaskDir("job-a")));
}

TEST_F(NodeProcessTest, CutOffItGoesOnUntilASuccessorIsPlaced) {
  service_.SetLeaseMs(600);
  StartAgent();
  v1::TaskAssignment task = Shell("job-a", "exec sleep 60");
  (*task.mutable_env())["ONEAI_ARTIFACT_DIR"] = (dir_ / "artifacts").string();
  service_.SetDesired({task});
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_RUNNING));
  ASSERT_OK(WritePlacedAttempt(dir_ / "artifacts", std::nullopt, 1));
  server_->Stop(absl::ZeroDuration());
  server_.reset();
  absl::SleepFor(absl::Seconds(3));
  EXPECT_FALSE(fs::exists(TaskDir("job-a") / kExitFile))
      << "a controller that is away ends no task";

  ASSERT_OK(WritePlacedAttempt(dir_ / "artifacts", std::nullopt, 2));
  EXPECT_TRUE(Eventually([&] { return fs::exists(TaskDir("job-a") / kExitFile); }));
  StartServer();
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_EXITED));
}

TEST_F(NodeProcessTest, StopsWhatIsNoLongerDesiredWithItsWholeFamily) {
  StartAgent();
  const fs::path pid_file = dir_ / "grandchild";
  service_.SetDesired(
      {Shell("job-a", "setsid sh -c 'trap \"\" TERM; echo $$ > " + pid_file.string() +
                          "; while :; do sleep 0.1; done' & trap '' TERM; "
                          "while :; do sleep 0.1; done")});
  const pid_t grandchild = PidFrom(pid_file);
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_RUNNING));
  service_.SetDesired({});
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_EXITED));
  EXPECT_EQ(service_.Report("job-a").signal(), SIGKILL);
  EXPECT_TRUE(IsGone(grandchild));
}

TEST_F(NodeProcessTest, ATaskBeyondItsMemoryIsKilledAndToldWhy) {
  StartAgent();
  ASSERT_TRUE(Eventually([&] { return service_.num_heartbeats() > 0; }));
  const v1::NodeInfo node = service_.last().node();
  if (std::find(node.enforced().begin(), node.enforced().end(), "cgroup-memory") ==
      node.enforced().end()) {
    GTEST_SKIP() << "this machine lets the agent enforce no memory limit";
  }
  v1::TaskAssignment task =
      Shell("job-a", "exec awk 'BEGIN { s = \"x\"; while (length(s) < 1e9) s = s s }'");
  task.mutable_resources()->set_memory_bytes(int64_t{48} << 20);
  service_.SetDesired({task});
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_EXITED));
  EXPECT_EQ(service_.Report("job-a").signal(), SIGKILL);
  EXPECT_THAT(service_.Report("job-a").message(), HasSubstr("out of memory"));
}

TEST_F(NodeProcessTest, ReportsReadiness) {
  StartAgent();
  service_.SetDesired({Shell("job-a", "touch $ONEAI_READY_FILE; sleep 60")});
  EXPECT_TRUE(Eventually([&] { return service_.Report("job-a").ready(); }));
}

TEST_F(NodeProcessTest, AProgramThatIsMissingIsAnExit) {
  StartAgent();
  v1::TaskAssignment task = Shell("job-a", "");
  task.clear_command();
  task.add_command("no-such-program-anywhere");
  service_.SetDesired({task});
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_EXITED));
  EXPECT_EQ(service_.Report("job-a").exit_code(), 127);
  EXPECT_THAT(service_.Report("job-a").message(), HasSubstr("no-such-program-anywhere"));
}

TEST_F(NodeProcessTest, ANameThatLeavesTheFolderIsRefused) {
  StartAgent();
  service_.SetDesired({Shell("../../job", "echo x")});
  ASSERT_TRUE(EventuallyInState("../../job", v1::TASK_EXITED));
  EXPECT_EQ(service_.Report("../../job").exit_code(), 126);
}

TEST_F(NodeProcessTest, TasksSurviveAKilledAgentAndAreAdopted) {
  StartAgent();
  const fs::path go = dir_ / "go";
  service_.SetDesired({Shell("job-a", "echo one; while [ ! -e " + go.string() +
                                          " ]; do sleep 0.05; done; echo two; exit 9"),
                       Shell("job-b", "echo b; sleep 0.3; exit 5")});
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_RUNNING));
  ASSERT_TRUE(Eventually([&] { return service_.Log("job-a") == "one\n"; }));
  ASSERT_OK_AND_ASSIGN(const ShimRecord shim, ReadShimRecord(TaskDir("job-a")));
  const std::string first_incarnation = service_.last().incarnation();
  KillAgent(SIGKILL);
  // job-b ends while nobody watches.
  ASSERT_TRUE(Eventually([&] { return fs::exists(TaskDir("job-b") / kExitFile); }));
  StartAgent();
  ASSERT_TRUE(Eventually([&] { return service_.last().incarnation() != first_incarnation; }));
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_RUNNING));
  ASSERT_TRUE(EventuallyInState("job-b", v1::TASK_EXITED));
  EXPECT_EQ(service_.Report("job-b").exit_code(), 5);
  EXPECT_EQ(ReadShimRecord(TaskDir("job-a"))->pid, shim.pid);
  ASSERT_OK(WriteFileAtomically(go, ""));
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_EXITED));
  EXPECT_EQ(service_.Report("job-a").exit_code(), 9);
  ASSERT_TRUE(Eventually([&] { return service_.LogEnded("job-a"); }));
  EXPECT_EQ(service_.Log("job-a"), "one\ntwo\n");
}

TEST_F(NodeProcessTest, IsolatedTasksSurviveAKilledAgentAndAreWarnedOnce) {
  isolation_ = "auto";
  StartAgent();
  v1::TaskAssignment task =
      Shell("job-a",
            "trap 'echo warned' USR1; echo one; while [ ! -e go ]; do sleep 0.05; done; "
            "echo two; exit 9");
  service_.SetDesired({task});
  ASSERT_TRUE(Eventually([&] { return service_.Log("job-a") == "one\n"; }));
  task.set_warning_signal(SIGUSR1);
  task.set_warned(true);
  service_.SetDesired({task});
  // The shell may remark on its killed `sleep` in between.
  ASSERT_TRUE(Eventually([&] { return absl::EndsWith(service_.Log("job-a"), "warned\n"); }));
  const std::string first_incarnation = service_.last().incarnation();
  KillAgent(SIGKILL);
  StartAgent();
  ASSERT_TRUE(Eventually([&] { return service_.last().incarnation() != first_incarnation; }));
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_RUNNING));
  absl::SleepFor(absl::Milliseconds(500));
  ASSERT_OK(WriteFileAtomically(TaskDir("job-a") / "go", ""));
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_EXITED));
  EXPECT_EQ(service_.Report("job-a").exit_code(), 9);
  ASSERT_TRUE(Eventually([&] { return service_.LogEnded("job-a"); }));
  const std::string log = service_.Log("job-a");
  EXPECT_THAT(log, ::testing::EndsWith("warned\ntwo\n"));
  EXPECT_EQ(log.find("warned"), log.rfind("warned"));
}

TEST_F(NodeProcessTest, SaysWhatItEnforcesAndWhatNot) {
  isolation_ = "auto";
  StartAgent();
  ASSERT_TRUE(Eventually([&] { return service_.num_heartbeats() > 0; }));
  const v1::NodeInfo node = service_.last().node();
  EXPECT_THAT(node.enforced(), ::testing::Contains("no-new-privileges"));
  EXPECT_THAT(node.not_enforced(), ::testing::Contains(HasSubstr("artifact folder")));
  EXPECT_GT(node.protocol_version(), 0);
  EXPECT_GT(node.disk_bytes(), 0);
  EXPECT_GT(service_.last().unix_ms(), 0);
}

TEST_F(NodeProcessTest, AFaultOfADeviceIsACheckUntilItIsGone) {
  const fs::path faults = dir_ / "faults";
  agent_env_["ONEAI_ASIC_FAULT_FILE"] = faults.string();
  StartAgent(
      {"--asic-plugin=" +
           (oneai::testing::BinDir().parent_path() / "lib" / "liboneai_asic_emulator.so").string(),
       "--asic-devices=2"});
  ASSERT_TRUE(Eventually([&] { return service_.last().node().devices_size() == 3; }));
  const auto asic = [&](int i) { return service_.last().node().devices(1 + i); };
  EXPECT_TRUE(asic(1).healthy());
  ASSERT_OK(WriteFileAtomically(faults, "1 core 3 does not answer\n"));
  ASSERT_TRUE(Eventually([&] { return !asic(1).healthy(); }));
  EXPECT_EQ(asic(1).health_message(), "core 3 does not answer");
  EXPECT_TRUE(asic(0).healthy());
  ASSERT_EQ(service_.last().checks_size(), 1);
  EXPECT_EQ(service_.last().checks(0).name(), "device:asic-1");
  EXPECT_FALSE(service_.last().checks(0).healthy());
  fs::remove(faults);
  ASSERT_TRUE(Eventually([&] { return asic(1).healthy(); }));
  EXPECT_TRUE(service_.last().checks(0).healthy());
}

TEST_F(NodeProcessTest, AProbeIsRunAgainAndAgain) {
  const fs::path sick = dir_ / "sick";
  StartAgent({"--probe=/usr/bin/test ! -e " + sick.string(), "--probe-interval=0.1"});
  ASSERT_TRUE(Eventually([&] { return service_.last().checks_size() == 1; }));
  EXPECT_TRUE(service_.last().checks(0).healthy());
  ASSERT_OK(WriteFileAtomically(sick, ""));
  ASSERT_TRUE(Eventually([&] { return !service_.last().checks(0).healthy(); }));
  EXPECT_THAT(service_.last().checks(0).message(), HasSubstr("exited with 1"));
}

TEST_F(NodeProcessTest, AKilledShimIsAnExitBySignalNine) {
  StartAgent();
  const fs::path pid_file = dir_ / "task";
  service_.SetDesired({Shell("job-a", "echo $$ > " + pid_file.string() + "; sleep 60")});
  const pid_t task = PidFrom(pid_file);
  ASSERT_TRUE(Eventually([&] { return ReadShimRecord(TaskDir("job-a")).ok(); }));
  kill(ReadShimRecord(TaskDir("job-a"))->pid, SIGKILL);
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_EXITED));
  EXPECT_EQ(service_.Report("job-a").signal(), SIGKILL);
  EXPECT_THAT(service_.Report("job-a").message(), HasSubstr("shim died"));
  EXPECT_TRUE(Eventually([&] { return IsGone(task); }));
}

TEST_F(NodeProcessTest, AShimThatDiedWhileNobodyWatchedIsFoundDead) {
  StartAgent();
  service_.SetDesired({Shell("job-a", "sleep 60")});
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_RUNNING));
  ASSERT_TRUE(Eventually([&] { return ReadShimRecord(TaskDir("job-a")).ok(); }));
  KillAgent(SIGKILL);
  kill(ReadShimRecord(TaskDir("job-a"))->pid, SIGKILL);
  StartAgent();
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_EXITED));
  EXPECT_EQ(service_.Report("job-a").signal(), SIGKILL);
}

TEST_F(NodeProcessTest, AnAnswerOfAReplacedControllerIsIgnored) {
  service_.SetEpoch(7);
  StartAgent();
  service_.SetDesired({Shell("job-a", "sleep 60")});
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_RUNNING));
  service_.SetEpoch(6);
  service_.SetDesired({Shell("job-b", "sleep 60")});
  const int seen = service_.num_heartbeats();
  ASSERT_TRUE(Eventually([&] { return service_.num_heartbeats() >= seen + 2; }));
  EXPECT_EQ(service_.Report("job-a").state(), v1::TASK_RUNNING);
  EXPECT_EQ(service_.Report("job-b").state(), v1::TASK_STATE_UNSPECIFIED);
  // The epoch is remembered over a restart.
  KillAgent(SIGKILL);
  StartAgent();
  const int before = service_.num_heartbeats();
  ASSERT_TRUE(Eventually([&] { return service_.num_heartbeats() >= before + 2; }));
  EXPECT_EQ(service_.Report("job-a").state(), v1::TASK_RUNNING);
  service_.SetEpoch(8);
  EXPECT_TRUE(EventuallyInState("job-b", v1::TASK_RUNNING));
}

TEST_F(NodeProcessTest, OutlivesARestartOfTheController) {
  StartAgent();
  service_.SetDesired({Shell("job-a", "sleep 60")});
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_RUNNING));
  server_->Stop(absl::ZeroDuration());
  server_ = nullptr;
  absl::SleepFor(absl::Milliseconds(300));
  const int seen = service_.num_heartbeats();
  StartServer();
  ASSERT_TRUE(Eventually([&] { return service_.num_heartbeats() > seen; }));
  EXPECT_EQ(service_.Report("job-a").state(), v1::TASK_RUNNING);
}

TEST_F(NodeProcessTest, TermLeavesTasksRunning) {
  StartAgent();
  service_.SetDesired({Shell("job-a", "sleep 60")});
  ASSERT_TRUE(EventuallyInState("job-a", v1::TASK_RUNNING));
  ASSERT_TRUE(Eventually([&] { return ReadShimRecord(TaskDir("job-a")).ok(); }));
  EXPECT_EQ(KillAgent(SIGTERM), 0);
  EXPECT_FALSE(IsGone(ReadShimRecord(TaskDir("job-a"))->pid));
  StartAgent();
  const int seen = service_.num_heartbeats();
  ASSERT_TRUE(Eventually([&] { return service_.num_heartbeats() > seen; }));
  EXPECT_EQ(service_.Report("job-a").state(), v1::TASK_RUNNING);
}

TEST_F(NodeProcessTest, StopTasksOnExitStopsThemWithGrace) {
  StartAgent({"--stop-tasks-on-exit"});
  service_.SetDesired(
      {Shell("job-a", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")});
  ASSERT_TRUE(Eventually([&] { return service_.Log("job-a") == "up\n"; }));
  EXPECT_EQ(KillAgent(SIGTERM), 0);
  // The shell may remark on its killed `sleep` in between.
  EXPECT_THAT(service_.Log("job-a"), ::testing::EndsWith("bye\n"));
  EXPECT_EQ(service_.Report("job-a").state(), v1::TASK_STATE_UNSPECIFIED);
  EXPECT_FALSE(fs::exists(TaskDir("job-a")));
}

TEST_F(NodeProcessTest, TwoAgentsCannotShareAStateFolder) {
  StartAgent();
  ASSERT_TRUE(Eventually([&] { return service_.num_heartbeats() > 0; }));
  const pid_t first = agent_;
  StartAgent();
  int status = 0;
  waitpid(agent_, &status, 0);
  agent_ = first;
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_THAT(ReadFile(dir_ / "agent.log").value_or(""), HasSubstr("another oneai-node uses"));
}

TEST_F(NodeProcessTest, BadFlagsExitWithTwo) {
  StartAgent({"--ports=9-1"});
  int status = 0;
  waitpid(agent_, &status, 0);
  agent_ = 0;
  EXPECT_EQ(WEXITSTATUS(status), 2);
  EXPECT_THAT(ReadFile(dir_ / "agent.log").value_or(""), HasSubstr("--ports 9-1"));
}

}  // namespace
}  // namespace oneai::fabric
