// Runs the real oneai-shim.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/process/child_process.h"
#include "compute_fabric/jobs/placed_attempt.h"
#include "compute_fabric/shim/process_table.h"
#include "compute_fabric/shim/task_files.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Waits for `condition`; gives up after 20 s.
template <typename F>
bool Eventually(F condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(20));
  }
  return false;
}

class ShimTest : public ::testing::Test {
 protected:
  ShimTest()
      : dir_(fs::path(::testing::TempDir()) /
             absl::StrCat("shim.", getpid(), ".",
                          ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::create_directories(dir_);
    spec_.env = CurrentEnvironment();
    spec_.grace_ms = 300;
  }
  ~ShimTest() override {
    if (pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) == 0) {
      kill(pid_, SIGTERM);
      waitpid(pid_, nullptr, 0);
    }
    fs::remove_all(dir_);
  }

  void Start(const std::string& script) {
    spec_.argv = {"/bin/sh", "-c", script};
    StartSpec();
  }
  void StartSpec() {
    ASSERT_OK(WriteLaunchSpec(dir_, spec_));
    ChildOptions child;
    child.argv = {(oneai::testing::BinDir() / "oneai-shim").string(), "--task-dir", dir_.string()};
    child.env = CurrentEnvironment();
    child.output_file = (dir_ / "shim.log").string();
    child.new_session = true;
    ASSERT_OK_AND_ASSIGN(pid_, SpawnChild(child));
  }
  ExitRecord Finish() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    auto record = ReadExitRecord(dir_);
    EXPECT_OK(record) << ReadFile(dir_ / "shim.log").value_or("");
    return record.value_or(ExitRecord{.exit_code = -1});
  }
  std::string Output() const { return ReadFile(dir_ / kOutputFile).value_or(""); }
  // A pid that the script wrote to file `name`.
  pid_t PidFrom(const std::string& name) {
    pid_t pid = 0;
    EXPECT_TRUE(Eventually(
        [&] { return absl::SimpleAtoi(ReadFile(dir_ / name).value_or(""), &pid) && pid > 0; }));
    return pid;
  }
  // A killed orphan may stay a zombie where the container's init does not reap.
  static bool IsGone(pid_t pid) {
    const auto stat = ReadProcessStat(pid);
    return !stat.has_value() || stat->state == 'Z' || stat->state == 'X';
  }

  const fs::path dir_;
  LaunchSpec spec_;
  pid_t pid_ = 0;
};

TEST_F(ShimTest, RecordsExitCodeOutputAndTimes) {
  Start("echo out; echo err >&2; exit 7");
  const ExitRecord record = Finish();
  EXPECT_EQ(record.exit_code, 7);
  EXPECT_EQ(record.signal, 0);
  EXPECT_GT(record.started_unix_ms, 0);
  EXPECT_GE(record.ended_unix_ms, record.started_unix_ms);
  EXPECT_EQ(Output(), "out\nerr\n");
}

TEST_F(ShimTest, RecordsTheSignal) {
  Start("kill -SEGV $$");
  const ExitRecord record = Finish();
  EXPECT_EQ(record.signal, SIGSEGV);
  EXPECT_EQ(record.exit_code, 0);
}

TEST_F(ShimTest, AProgramThatDoesNotExistEndsWith127AndItsName) {
  spec_.argv = {"no-such-program-anywhere"};
  StartSpec();
  const ExitRecord record = Finish();
  EXPECT_EQ(record.exit_code, 127);
  EXPECT_THAT(record.message, HasSubstr("no-such-program-anywhere"));
}

TEST_F(ShimTest, TermLetsTheTaskEndByItself) {
  Start("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done");
  ASSERT_TRUE(Eventually([&] { return Output() == "up\n"; }));
  kill(pid_, SIGTERM);
  EXPECT_EQ(Finish().exit_code, 3);
  // The shell may remark on its killed `sleep` in between.
  EXPECT_THAT(Output(), ::testing::EndsWith("bye\n"));
}

TEST_F(ShimTest, ATaskThatIgnoresTermIsKilledAfterTheGrace) {
  Start("trap '' TERM; echo up; while :; do sleep 0.05; done");
  ASSERT_TRUE(Eventually([&] { return Output() == "up\n"; }));
  kill(pid_, SIGTERM);
  EXPECT_EQ(Finish().signal, SIGKILL);
}

TEST_F(ShimTest, NothingSurvivesTheTaskNotEvenDaemons) {
  // The grandchild leaves process group and session, as a daemon does.
  Start(absl::StrCat("setsid sh -c 'trap \"\" TERM; echo $$ > ", (dir_ / "daemon").string(),
                     "; while :; do sleep 0.05; done' & sleep 0.5; exit 0"));
  const pid_t daemon = PidFrom("daemon");
  EXPECT_EQ(Finish().exit_code, 0);
  EXPECT_TRUE(IsGone(daemon));
}

TEST_F(ShimTest, OutputIsBoundedAndTheTaskGoesOn) {
  spec_.output_bytes_max = 100'000;
  Start("head -c 3000000 /dev/zero; exit 5");
  const ExitRecord record = Finish();
  EXPECT_EQ(record.exit_code, 5);
  EXPECT_EQ(record.output_bytes_dropped, 2'900'000);
  EXPECT_LT(Output().size(), 100'200u);
}

TEST_F(ShimTest, ASilentAgentFencesTheTask) {
  spec_.lease_file = (dir_ / "lease").string();
  spec_.fence_ms = 300;
  ASSERT_OK(WriteFileAtomically(spec_.lease_file, ""));
  Start("sleep 60");
  const ExitRecord record = Finish();
  EXPECT_EQ(record.signal, SIGTERM);
  EXPECT_THAT(record.message, HasSubstr("no sign of life"));
}

TEST_F(ShimTest, WithoutAnAgentItLooksForASuccessorItself) {
  spec_.lease_file = (dir_ / "lease").string();
  spec_.fence_ms = 600'000;
  ASSERT_OK(WriteFileAtomically(spec_.lease_file, ""));
  const std::filesystem::path artifacts = dir_ / "artifacts";
  ASSERT_OK(WritePlacedAttempt(artifacts, std::nullopt, 3));
  spec_.env["ONEAI_ARTIFACT_DIR"] = artifacts.string();
  spec_.env["RANK"] = "1";
  spec_.env["ONEAI_ATTEMPT"] = "2";
  Start("sleep 60");
  const ExitRecord record = Finish();
  EXPECT_EQ(record.signal, SIGTERM);
  EXPECT_THAT(record.message, HasSubstr("no sign of life"));
}

TEST_F(ShimTest, ATouchedLeaseKeepsTheTaskAlive) {
  spec_.lease_file = (dir_ / "lease").string();
  spec_.fence_ms = 1'000;
  ASSERT_OK(WriteFileAtomically(spec_.lease_file, ""));
  Start("sleep 2; exit 0");
  ASSERT_TRUE(Eventually([&] {
    utimensat(AT_FDCWD, spec_.lease_file.c_str(), nullptr, 0);
    return fs::exists(dir_ / kExitFile);
  }));
  EXPECT_EQ(Finish().exit_code, 0);
}

TEST_F(ShimTest, AKilledShimTakesTheTaskWithIt) {
  Start(absl::StrCat("echo $$ > ", (dir_ / "task").string(), "; exec sleep 60"));
  const pid_t task = PidFrom("task");
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
  EXPECT_TRUE(Eventually([&] { return IsGone(task); }));
  EXPECT_FALSE(fs::exists(dir_ / kExitFile));
  ASSERT_OK_AND_ASSIGN(const int lock, LockTask(dir_));
  close(lock);
}

TEST_F(ShimTest, AnAttemptNeverRunsTwice) {
  Start("echo ran");
  Finish();
  StartSpec();
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = 0;
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_EQ(Output(), "ran\n");
}

TEST_F(ShimTest, ASecondShimIsShutOutByTheLock) {
  Start("echo first; sleep 60");
  ASSERT_TRUE(Eventually([&] { return fs::exists(dir_ / kShimFile); }));
  const pid_t first = pid_;
  StartSpec();
  int status = 0;
  waitpid(pid_, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 1);
  pid_ = first;
  EXPECT_THAT(LockTask(dir_), oneai::testing::StatusIs(absl::StatusCode::kFailedPrecondition,
                                                       HasSubstr("live shim")));
}

TEST_F(ShimTest, CorruptRecordsAreDataLoss) {
  using oneai::testing::StatusIs;
  ASSERT_OK(WriteFileAtomically(dir_ / kExitFile, "{\"exit_code\": \"x\"}"));
  EXPECT_THAT(ReadExitRecord(dir_), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("exit_code")));
  ASSERT_OK(WriteFileAtomically(dir_ / kShimFile, "[1,"));
  EXPECT_THAT(ReadShimRecord(dir_), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("JSON")));
}

}  // namespace
}  // namespace oneai::fabric
