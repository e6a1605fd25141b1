#include "base/log/log.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_split.h"
#include "base/files/files.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai {
namespace {

using ::testing::HasSubstr;

TEST(LogTest, ALineIsOneJsonObjectWithTypedFields) {
  const std::string line = FormatLogLine(LogLevel::kWarning, "node", "task exited",
                                         {{"job", "job-1"},
                                          {"rank", 3},
                                          {"loss", 0.5},
                                          {"done", true},
                                          {"nan", std::nan("")},
                                          {"error", absl::NotFoundError("gone")}});
  EXPECT_EQ(line,
            R"({"level":"warning","component":"node","msg":"task exited","job":"job-1","rank":3,)"
            R"("loss":0.5,"done":true,"nan":null,"error":"NOT_FOUND: gone"})");
}

TEST(LogTest, NoTextForgesALineOrMovesACursor) {
  const std::string evil = "x\"}\n{\"level\":\"info\"} \x1b[2J \x7f \xc2\x9b \xe2\x80\xae \xff end";
  const std::string line = FormatLogLine(LogLevel::kInfo, "c", evil, {{"f", evil}});
  for (const char c : line) {
    EXPECT_GE(static_cast<unsigned char>(c), 0x20);
    EXPECT_LT(static_cast<unsigned char>(c), 0x7f);
  }
  const nlohmann::json parsed = nlohmann::json::parse(line);
  EXPECT_EQ(parsed["level"], "info");
  EXPECT_THAT(parsed["msg"].get<std::string>(), HasSubstr("x\"}\n{"));
}

TEST(LogTest, WritesToItsFileFromTheChosenLevel) {
  testing::TempDir dir;
  const std::string file = dir.path() / "logs" / "c.log";
  ASSERT_OK(Log::Start({"controller", file, LogLevel::kInfo}));
  Log::Debug("quiet");
  Log::Info("started", {{"port", 7400}});
  ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(file));
  const std::vector<std::string> lines = absl::StrSplit(text, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 1u);
  const nlohmann::json parsed = nlohmann::json::parse(lines[0]);
  EXPECT_EQ(parsed["component"], "controller");
  EXPECT_EQ(parsed["port"], 7400);
  EXPECT_THAT(parsed["time"].get<std::string>(), ::testing::ContainsRegex("^20..-..-..T.*Z$"));
}

TEST(LogTest, AFileThatCannotBeOpenedIsAnError) {
  EXPECT_THAT(
      Log::Start({"c", "/dev/null/x.log"}),
      testing::StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("/dev/null/x.log")));
}

}  // namespace
}  // namespace oneai
