#include "cli/output.h"

#include "tests/testing/status_matchers.h"

namespace oneai::cli {
namespace {

TEST(OutputTest, NothingAJobWroteDrivesTheTerminal) {
  const std::pair<std::string, std::string> cases[] = {
      {"plain\ttext\n", "plain\ttext\n"},
      {"caf\u00e9 \u4f60\u597d \U0001F600", "caf\u00e9 \u4f60\u597d \U0001F600"},
      {"\x1b[31mred\x07", "?[31mred?"},
      {"back\rspace\b", "back?space?"},
      {"\u009b31m", "?31m"},            // C1: a control sequence in one character
      {"a\u202etxt.exe", "a?txt.exe"},  // right-to-left override
      {"a\u2066b\u2069", "a?b?"},       // isolates
      {"\xff\xfe", "??"},               // no UTF-8
      {"\xc0\x9b", "??"},               // overlong
      {"\xed\xa0\x80", "???"},          // a surrogate
      {"cut \xe4\xbd", "cut ??"},
      {std::string("\0", 1), "?"},
      {std::string(10'000, 'n'), std::string(10'000, 'n')},
  };
  for (const auto& [text, shown] : cases) EXPECT_EQ(Printable(text), shown);
}

TEST(OutputTest, ACutCharacterWaitsForItsRest) {
  EXPECT_EQ(NumWholeCharacterBytes("ab"), 2u);
  EXPECT_EQ(NumWholeCharacterBytes("ab\xe4"), 2u);
  EXPECT_EQ(NumWholeCharacterBytes("ab\xe4\xbd"), 2u);
  EXPECT_EQ(NumWholeCharacterBytes("ab\xe4\xbd\xa0"), 5u);
  EXPECT_EQ(NumWholeCharacterBytes("\xf0\x9f\x98"), 0u);
  EXPECT_EQ(NumWholeCharacterBytes("\x80\x80\x80\x80"), 4u);  // no UTF-8 at all
  EXPECT_EQ(NumWholeCharacterBytes(""), 0u);
}

TEST(OutputTest, ATablesRowIsOneLine) {
  Table table({"A", "B"});
  table.Add({"two\nlines\t", "x"});
  table.Add({"\u00e9", "y"});
  EXPECT_EQ(table.ToString(),
            "A           B\n"
            "two lines   x\n"
            "\u00e9           y\n");
}

TEST(OutputTest, EveryStatusHasItsExitCode) {
  const std::pair<absl::StatusCode, int> cases[] = {
      {absl::StatusCode::kOk, 0},
      {absl::StatusCode::kInvalidArgument, 2},
      {absl::StatusCode::kNotFound, 3},
      {absl::StatusCode::kUnauthenticated, 4},
      {absl::StatusCode::kPermissionDenied, 4},
      {absl::StatusCode::kFailedPrecondition, 5},
      {absl::StatusCode::kAlreadyExists, 5},
      {absl::StatusCode::kAborted, 5},
      {absl::StatusCode::kResourceExhausted, 6},
      {absl::StatusCode::kUnavailable, 7},
      {absl::StatusCode::kDeadlineExceeded, 7},
      {absl::StatusCode::kInternal, 1},
  };
  for (const auto& [code, exit_code] : cases)
    EXPECT_EQ(ExitCodeOf(absl::Status(code, "")), exit_code) << code;
}

}  // namespace
}  // namespace oneai::cli
