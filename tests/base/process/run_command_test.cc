#include "base/process/run_command.h"

#include "tests/testing/status_matchers.h"

namespace oneai {
namespace {

using ::testing::_;
using ::testing::HasSubstr;
using testing::StatusIs;

CommandOptions Shell(const std::string& script) {
  return {.argv = {"sh", "-c", script}, .env = {{"PATH", "/usr/bin:/bin"}}};
}

TEST(RunCommandTest, KeepsOutputAndErrorsApartAndReportsTheEnd) {
  const auto result = RunCommand(Shell("echo out; echo err >&2; exit 3"));
  ASSERT_OK(result);
  EXPECT_EQ(result->standard_output, "out\n");
  EXPECT_EQ(result->standard_error, "err\n");
  EXPECT_EQ(result->exit_code, 3);
  const auto killed = RunCommand(Shell("kill -9 $$"));
  ASSERT_OK(killed);
  EXPECT_EQ(killed->signal, 9);
}

TEST(RunCommandTest, KillsWhatDoesNotEndInTime) {
  CommandOptions options = Shell("echo begun; sleep 1000 & sleep 1000");
  options.timeout = absl::Milliseconds(200);
  EXPECT_THAT(RunCommand(options), StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("sh")));
  options = Shell("exec >/dev/null 2>&1; sleep 1000");
  options.timeout = absl::Milliseconds(200);
  EXPECT_THAT(RunCommand(options), StatusIs(absl::StatusCode::kDeadlineExceeded, _));
}

TEST(RunCommandTest, BoundsTheOutput) {
  CommandOptions options = Shell("yes");
  options.output_bytes_max = 100'000;
  EXPECT_THAT(RunCommand(options), StatusIs(absl::StatusCode::kResourceExhausted, _));
}

TEST(RunCommandTest, NamesAProgramThatIsNotThere) {
  CommandOptions options;
  options.argv = {"no-such-program"};
  EXPECT_THAT(RunCommand(options),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such-program")));
}

}  // namespace
}  // namespace oneai
