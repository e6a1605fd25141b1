#include "base/process/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files/files.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai {
namespace {

using ::testing::_;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::StatusIs;

class ChildProcessTest : public ::testing::Test {
 protected:
  // Runs a script to its end; what it printed.
  std::string Run(const std::string& script, ChildOptions options = {}) {
    options.argv = {"sh", "-c", script};
    options.env.emplace("PATH", "/usr/bin:/bin");
    options.output_file = dir_.path() / "out";
    const auto pid = SpawnChild(options);
    EXPECT_OK(pid);
    if (!pid.ok()) return "";
    int status = 0;
    EXPECT_EQ(waitpid(*pid, &status, 0), *pid);
    status_ = status;
    return ReadFile(options.output_file).value_or("");
  }

  testing::TempDir dir_;
  int status_ = 0;
};

TEST_F(ChildProcessTest, GetsExactlyItsEnvironmentFolderAndOutput) {
  ChildOptions options;
  options.env = {{"A", "b c"}, {"PATH", "/usr/bin:/bin"}};
  options.working_dir = "/";
  const std::string output =
      Run("echo \"$A\"; pwd; echo err >&2; echo home=$HOME; exit 7", options);
  EXPECT_EQ(output, "b c\n/\nerr\nhome=\n");
  EXPECT_EQ(WEXITSTATUS(status_), 7);
}

TEST_F(ChildProcessTest, LeadsItsOwnGroupOrSession) {
  ChildOptions options;
  options.new_session = true;
  // Fields 5 and 6 of /proc/PID/stat are process group and session.
  const std::string script =
      "set -- $(cat /proc/$$/stat); [ $5 = $$ ] && echo group; [ $6 = $$ ] && echo session";
  EXPECT_EQ(Run(script), "group\n");
  EXPECT_EQ(Run(script, options), "group\ngroup\nsession\n");
}

TEST_F(ChildProcessTest, InheritsNoDescriptorAndNoIgnoredSignal) {
  const int leaked = open("/dev/null", O_RDONLY);  // without O_CLOEXEC, as careless libraries do
  signal(SIGPIPE, SIG_IGN);
  const std::string output = Run("ls /proc/$$/fd | tr '\\n' ' '; grep SigIgn /proc/$$/status");
  close(leaked);
  EXPECT_THAT(output, HasSubstr("SigIgn:\t0000000000000000"));
  EXPECT_THAT(output, Not(HasSubstr(std::to_string(leaked) + " 1")));
  EXPECT_THAT(output, ::testing::StartsWith("0 1 2"));
}

TEST_F(ChildProcessTest, ReportsWhyAProgramDidNotStart) {
  ChildOptions options;
  options.env = {{"PATH", "/usr/bin:/bin"}};
  options.argv = {"no-such-program-here"};
  EXPECT_THAT(SpawnChild(options),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such-program-here")));
  options.argv = {"/no/such/path"};
  EXPECT_THAT(SpawnChild(options),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/path")));
  options.argv = {"/etc/passwd"};
  EXPECT_THAT(SpawnChild(options), StatusIs(absl::StatusCode::kPermissionDenied, _));
  options.argv = {"/bin/true"};
  options.working_dir = "/no/such/dir";
  EXPECT_THAT(SpawnChild(options),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/dir")));
  options.working_dir.clear();
  options.argv = {std::string("a\0b", 3)};
  EXPECT_THAT(SpawnChild(options), StatusIs(absl::StatusCode::kInvalidArgument, _));
  options.argv = {};
  EXPECT_THAT(SpawnChild(options), StatusIs(absl::StatusCode::kInvalidArgument, _));
}

TEST_F(ChildProcessTest, KnowsItsOwnEnvironmentAndFolder) {
  setenv("ONEAI_TEST_VALUE", "a=b", 1);
  EXPECT_EQ(CurrentEnvironment()["ONEAI_TEST_VALUE"], "a=b");
  EXPECT_TRUE(std::filesystem::is_directory(ExecutableDir()));
}

}  // namespace
}  // namespace oneai
