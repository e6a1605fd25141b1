// Real shims and tasks in the isolation that this machine allows: what a bad task does must stay in
// its job. Bounded: few processes, small limits.
#include "compute_fabric/node/isolation.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/process/child_process.h"
#include "compute_fabric/shim/process_table.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

template <typename F>
bool Eventually(F condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(20));
  }
  return false;
}

class IsolationTest : public ::testing::Test {
 protected:
  IsolationTest()
      : dir_(fs::path(::testing::TempDir()) /
             absl::StrCat("isolation.", getpid(), ".",
                          ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    task_dir_ = dir_ / "state" / "tasks" / "job-a.0.1";
    fs::create_directories(task_dir_);
    fs::create_directories(dir_ / "artifacts");
    order_.key = {"job-a", 0, 1};
    order_.env["ONEAI_ARTIFACT_DIR"] = (dir_ / "artifacts").string();
    options_.node_name = absl::StrCat("test-", getpid());
    options_.path = "/usr/bin:/bin";
    options_.sandbox.state_dir = (dir_ / "state").string();
    options_.sandbox.bin_dir = oneai::testing::BinDir().string();
  }
  ~IsolationTest() override {
    if (shim_ > 0) {
      kill(shim_, SIGKILL);
      waitpid(shim_, nullptr, 0);
    }
    if (isolation_.has_value()) {
      KillCgroups(spec_.cgroups);
      for (const std::string& cgroup : spec_.cgroups) {
        Eventually([&] { return rmdir(cgroup.c_str()) == 0 || errno == ENOENT; });
      }
      isolation_->RemoveEmptyGroups();
      fs::remove_all(isolation_->SharedMemoryFolder(order_.key));
    }
    fs::remove_all(dir_);
  }

  bool Enforces(const std::string& limit) {
    const auto& enforced = isolation_->enforced();
    return std::find(enforced.begin(), enforced.end(), limit) != enforced.end();
  }
  std::string Missing() const { return absl::StrJoin(isolation_->not_enforced(), "; "); }
  void Detect() {
    absl::StatusOr<Isolation> isolation = Isolation::Detect(options_);
    ASSERT_OK(isolation);
    isolation_.emplace(*std::move(isolation));
  }
  // Starts `script` in a shell, or `argv` when it is set.
  void Start(const std::string& script) {
    if (!isolation_.has_value()) Detect();
    spec_.argv = argv_.empty() ? std::vector<std::string>{"/bin/sh", "-c", script} : argv_;
    spec_.env = order_.env;
    spec_.env["PATH"] = "/usr/bin:/bin";
    spec_.env["ONEAI_TASK_DIR"] = task_dir_.string();
    spec_.grace_ms = 500;
    std::vector<std::string> problems;
    ASSERT_OK(isolation_->Prepare(order_, node_, task_dir_.string(), spec_, problems));
    EXPECT_THAT(problems, ::testing::IsEmpty());
    ASSERT_OK(WriteLaunchSpec(task_dir_, spec_));
    ChildOptions child;
    child.argv = {(oneai::testing::BinDir() / "oneai-shim").string(), "--task-dir",
                  task_dir_.string()};
    child.env = CurrentEnvironment();
    child.output_file = (task_dir_ / "shim.log").string();
    child.new_session = true;
    ASSERT_OK_AND_ASSIGN(shim_, SpawnChild(child));
  }
  ExitRecord Finish() {
    waitpid(shim_, nullptr, 0);
    shim_ = 0;
    const auto record = ReadExitRecord(task_dir_);
    EXPECT_OK(record) << ReadFile(task_dir_ / "shim.log").value_or("");
    return record.value_or(ExitRecord{.exit_code = -1});
  }
  std::string Output() const { return ReadFile(task_dir_ / kOutputFile).value_or(""); }
  std::string Run(const std::string& script) {
    Start(script);
    Finish();
    return Output();
  }

  const fs::path dir_;
  fs::path task_dir_;
  IsolationOptions options_;
  TaskOrder order_;
  NodeFacts node_;
  LaunchSpec spec_;
  std::vector<std::string> argv_;
  std::optional<Isolation> isolation_;
  pid_t shim_ = 0;
};

#define REQUIRE_LIMIT(limit) \
  Detect();                  \
  if (!Enforces(limit)) GTEST_SKIP() << "this machine enforces no " << limit << ": " << Missing()

TEST_F(IsolationTest, AForkBombStaysBelowItsLimit) {
  REQUIRE_LIMIT("cgroup-pids");
  order_.processes_max = 24;
  Start("bomb() { bomb | bomb & }; bomb; sleep 1; echo survived");
  ASSERT_TRUE(Eventually([&] { return !Output().empty(); })) << "forks are refused aloud";
  const pid_t session = shim_;
  Finish();
  // Every one of them is gone with the task.
  for (const ProcessStat& process : ReadAllProcesses()) EXPECT_NE(process.session, session);
}

TEST_F(IsolationTest, WhoReachesTheProcessLimitIsToldSo) {
  REQUIRE_LIMIT("cgroup-pids");
  order_.processes_max = 16;
  Start("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 5 & done; wait");
  const ExitRecord record = Finish();
  EXPECT_NE(record.exit_code, 0);
  EXPECT_THAT(record.message, HasSubstr("limit of 16 processes"));
}

TEST_F(IsolationTest, AMemoryHogIsKilledAloneAndToldWhy) {
  REQUIRE_LIMIT("cgroup-memory");
  order_.memory_bytes = int64_t{48} << 20;
  Start("exec awk 'BEGIN { s = \"x\"; while (length(s) < 1e9) s = s s }'");
  const ExitRecord record = Finish();
  EXPECT_EQ(record.signal, SIGKILL);
  EXPECT_THAT(record.message, HasSubstr("out of memory: the task reached its limit of 50331648"));
}

TEST_F(IsolationTest, SharedMemoryCountsAsMemory) {
  REQUIRE_LIMIT("namespaces");
  if (!Enforces("cgroup-memory")) GTEST_SKIP() << "no memory limit here";
  order_.memory_bytes = int64_t{48} << 20;
  Start("head -c 200000000 /dev/zero > /dev/shm/big; echo wrote $?");
  Finish();
  EXPECT_THAT(Output(), Not(HasSubstr("wrote 0")));
}

TEST_F(IsolationTest, ADiskFillerIsStoppedAndToldWhy) {
  Detect();
  order_.disk_bytes = 4 << 20;
  Start(
      "trap '' TERM; i=0; while :; do head -c 1000000 /dev/zero > fill.$i; i=$((i+1)); "
      "sleep 0.02; done");
  const ExitRecord record = Finish();
  EXPECT_EQ(record.signal, SIGKILL);
  EXPECT_THAT(record.message, HasSubstr("disk limit"));
  EXPECT_THAT(record.message, HasSubstr("limit of 4.0 MiB"));
}

TEST_F(IsolationTest, PrivateTmpCountsForTheTasksFolderToo) {
  REQUIRE_LIMIT("private-tmp");
  order_.disk_bytes = 4 << 20;
  Start("while :; do head -c 1000000 /dev/zero >> /tmp/fill; sleep 0.02; done");
  EXPECT_THAT(Finish().message, HasSubstr("disk limit"));
}

TEST_F(IsolationTest, SeesOnlyItsOwnProcessesAndFiles) {
  REQUIRE_LIMIT("namespaces");
  fs::create_directories(dir_ / "state" / "tasks" / "job-b.0.1");
  std::ofstream(dir_ / "state" / "tasks" / "job-b.0.1" / "secret") << "secret of b";
  std::ofstream(dir_ / "outside") << "outside";
  const std::string out = Run(absl::StrCat(
      "kill -0 ", getpid(), " 2>/dev/null && echo sees-others; ls ", dir_.string(),
      "/state/tasks; cat ", dir_.string(), "/state/tasks/job-b.0.1/secret; cat ", dir_.string(),
      "/outside; touch /usr/mine /etc/mine && echo wrote-system; ls -d /proc/[0-9]* | wc -l"));
  EXPECT_THAT(out, Not(HasSubstr("sees-others")));
  EXPECT_THAT(out, Not(HasSubstr("secret of b")));
  EXPECT_THAT(out, HasSubstr("job-a.0.1"));
  EXPECT_THAT(out, Not(HasSubstr("job-b.0.1\n")));
  EXPECT_THAT(out, Not(HasSubstr("wrote-system")));
  EXPECT_THAT(out, HasSubstr("Read-only file system"));
}

TEST_F(IsolationTest, WritesItsFolderArtifactsTmpAndSharedMemory) {
  Detect();
  Start(
      "echo a > mine && echo b > $ONEAI_ARTIFACT_DIR/checkpoint && echo c > /tmp/scratch && "
      "echo d > /dev/shm/segment && echo e > /dev/null && echo all-written; pwd");
  EXPECT_EQ(Finish().exit_code, 0);
  EXPECT_THAT(Output(), HasSubstr("all-written"));
  EXPECT_THAT(Output(), HasSubstr(task_dir_.string()));
  EXPECT_EQ(ReadFile(dir_ / "artifacts" / "checkpoint").value_or(""), "b\n");
  EXPECT_EQ(ReadFile(task_dir_ / "mine").value_or(""), "a\n");
}

TEST_F(IsolationTest, CannotForgeWhatTheAgentBelieves) {
  REQUIRE_LIMIT("namespaces");
  const std::string out =
      Run("echo '{}' > launch.json && echo forged-launch; rm -f shim.json && echo removed-shim; "
          "mv launch.json x && echo moved; mkdir exit.json; touch exit.json/x; exit 5");
  EXPECT_THAT(out, Not(HasSubstr("forged-launch")));
  EXPECT_THAT(out, Not(HasSubstr("removed-shim")));
  EXPECT_THAT(out, Not(HasSubstr("moved")));
  EXPECT_EQ(ReadExitRecord(task_dir_)->exit_code, 5);
}

TEST_F(IsolationTest, TheFilterRefusesMountsAndNamespacesWithEperm) {
  REQUIRE_LIMIT("seccomp");
  const std::string out =
      Run("grep -E '^(Seccomp|NoNewPrivs|CapEff)' /proc/self/status; mount -t tmpfs none /tmp; "
          "unshare -U true; unshare -m true; echo done");
  EXPECT_THAT(out, HasSubstr("Seccomp:\t2"));
  EXPECT_THAT(out, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(out, HasSubstr("ermission denied"));
  EXPECT_THAT(out, HasSubstr("unshare failed: Operation not permitted"));
  if (Enforces("no-capabilities")) {
    EXPECT_THAT(out, HasSubstr("CapEff:\t0000000000000000"));
  }
}

TEST_F(IsolationTest, ExitsSignalsAndMissingProgramsAreReportedExactly) {
  Start("exit 137");
  ExitRecord record = Finish();
  EXPECT_EQ(record.exit_code, 137);
  EXPECT_EQ(record.signal, 0);
  fs::remove(task_dir_ / kExitFile);
  Start("kill -SEGV $$");
  record = Finish();
  EXPECT_EQ(record.signal, SIGSEGV);
  EXPECT_EQ(record.exit_code, 0);
  fs::remove(task_dir_ / kExitFile);
  argv_ = {"no-such-program-anywhere"};
  Start("");
  record = Finish();
  EXPECT_EQ(record.exit_code, 127);
  EXPECT_THAT(record.message, HasSubstr("no-such-program-anywhere"));
}

TEST_F(IsolationTest, TermReachesTheTaskAndLeavesItItsGrace) {
  Start("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done");
  ASSERT_TRUE(Eventually([&] { return Output() == "up\n"; }));
  kill(shim_, SIGTERM);
  EXPECT_EQ(Finish().exit_code, 3);
  EXPECT_THAT(Output(), ::testing::EndsWith("bye\n"));
}

TEST_F(IsolationTest, AWarningIsSentOnceAndTheTaskGoesOn) {
  Start("trap 'echo warned' USR1; echo up; while [ ! -e go ]; do sleep 0.05; done; exit 4");
  ASSERT_TRUE(Eventually([&] { return Output() == "up\n"; }));
  ASSERT_OK(WriteWarning(task_dir_, SIGUSR1));
  ASSERT_TRUE(Eventually([&] { return absl::StrContains(Output(), "warned"); }));
  absl::SleepFor(absl::Milliseconds(500));
  std::ofstream(task_dir_ / "go") << "";
  EXPECT_EQ(Finish().exit_code, 4);
  EXPECT_EQ(Output().find("warned"), Output().rfind("warned"));
}

TEST_F(IsolationTest, AKilledShimTakesTheSandboxWithIt) {
  Start("setsid sh -c 'echo up; while :; do sleep 0.05; done' & wait");
  ASSERT_TRUE(Eventually([&] { return absl::StrContains(Output(), "up"); }));
  const std::vector<pid_t> family = DescendantsOf(shim_, ReadAllProcesses());
  EXPECT_GE(family.size(), 2u);
  kill(shim_, SIGKILL);
  waitpid(shim_, nullptr, 0);
  shim_ = 0;
  if (!Enforces("namespaces")) GTEST_SKIP() << "without namespaces the agent kills what is left";
  for (pid_t pid : family) {
    EXPECT_TRUE(Eventually([&] {
      const auto stat = ReadProcessStat(pid);
      return !stat.has_value() || stat->state == 'Z' || stat->state == 'X';
    }));
  }
}

TEST_F(IsolationTest, OffIsSaidInTheNodesStatus) {
  options_.mode = IsolationMode::kOff;
  Detect();
  EXPECT_FALSE(Enforces("namespaces"));
  EXPECT_THAT(isolation_->not_enforced(), Contains(HasSubstr("--isolation off")));
  EXPECT_THAT(Run("echo plain"), "plain\n");
}

TEST_F(IsolationTest, RequiredRefusesToStartWhereSomethingIsMissing) {
  options_.mode = IsolationMode::kRequired;
  options_.path = "/nonexistent";
  const auto isolation = Isolation::Detect(options_);
  EXPECT_THAT(isolation.status().message(), HasSubstr("namespaces"));
  EXPECT_THAT(isolation.status().message(), HasSubstr("--isolation auto"));
}

TEST(SeccompFilterTest, TracingIsForThoseWithAProcessNamespaceOfTheirOwn) {
  EXPECT_THAT(DeniedSystemCalls(SeccompMode::kOwnProcesses), Not(Contains("ptrace")));
  EXPECT_THAT(DeniedSystemCalls(SeccompMode::kAllProcesses), Contains("ptrace"));
  for (const char* name : {"mount", "kexec_load", "bpf", "keyctl", "reboot", "setns", "unshare",
                           "init_module", "finit_module"}) {
    EXPECT_THAT(DeniedSystemCalls(SeccompMode::kOwnProcesses), Contains(name));
  }
  EXPECT_TRUE(DeniedSystemCalls(SeccompMode::kOff).empty());
  EXPECT_FALSE(ParseSeccompMode("maybe").ok());
}

}  // namespace
}  // namespace oneai::fabric
