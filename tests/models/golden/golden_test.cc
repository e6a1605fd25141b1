#include "models/golden/golden.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models::golden {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;

std::filesystem::path DataFixture(const std::string& name) {
  return oneai::testing::DataDir() / "golden" / name;
}

// A copy of fixture `name` that a test may damage.
std::filesystem::path CopyFixture(const std::string& name) {
  const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / (std::string("golden_") + info->name());
  std::filesystem::remove_all(folder);
  std::filesystem::copy(DataFixture(name), folder, std::filesystem::copy_options::recursive);
  return folder;
}

void ReplaceInFile(const std::filesystem::path& file, const std::string& from,
                   const std::string& to) {
  std::ifstream in(file, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  const size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, from.size(), to);
  std::ofstream(file, std::ios::binary) << text;
}

class GoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, MatchesTheReferenceImplementation) {
  ASSERT_OK_AND_ASSIGN(const Report report, RunFixture(DataFixture(GetParam())));
  EXPECT_TRUE(report.Passed()) << report.ToText();
}

INSTANTIATE_TEST_SUITE_P(Fixtures, GoldenTest,
                         ::testing::Values("qwen2_tied", "qwen2_untied", "qwen2_sliding_window",
                                           "qwen2_yarn", "qwen3", "qwen2_lora", "qwen2_moe", "qwen1",
                                           "qwen3_next"));

class SharedGoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(SharedGoldenTest, MatchesTheReferenceImplementation) {
  const auto shared = oneai::testing::SharedDir();
  if (!shared) GTEST_SKIP() << "the full golden folder is not on this machine (ONEAI_SHARED_DIR)";
  ASSERT_OK_AND_ASSIGN(const Report report, RunFixture(*shared / "golden" / GetParam()));
  EXPECT_TRUE(report.Passed()) << report.ToText();
}

INSTANTIATE_TEST_SUITE_P(Fixtures, SharedGoldenTest,
                         ::testing::Values("qwen2_seqcls", "qwen3_embedding", "qwen3_reranker",
                                           "qwen1_72b", "qwen3_moe",
                                           "qwen3_next", "qwen3_5", "qwen3_5_moe"));

TEST(GoldenRunTest, FindsASingleWrongWeight) {
  const std::filesystem::path folder = CopyFixture("qwen2_tied");
  {
    std::fstream file(folder / "model.safetensors",
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-2, std::ios::end);
    file.write("\x3f\x3f", 2);
  }
  ASSERT_OK_AND_ASSIGN(const Report report, RunFixture(folder));
  EXPECT_FALSE(report.Passed());
}

TEST(GoldenRunTest, FindsAnIgnoredSetting) {
  const std::filesystem::path folder = CopyFixture("qwen2_yarn");
  ReplaceInFile(folder / "config.transformers5.json", "\"factor\": 4.0", "\"factor\": 4.1");
  ASSERT_OK_AND_ASSIGN(const Report report, RunFixture(folder));
  EXPECT_FALSE(report.Passed());
}

TEST(GoldenRunTest, NamesAnUnsupportedArchitecture) {
  const std::filesystem::path folder = CopyFixture("qwen3");
  ReplaceInFile(folder / "config.json", "\"model_type\": \"qwen3\"",
                "\"model_type\": \"qwen9\"");
  EXPECT_THAT(RunFixture(folder), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("qwen9")));
}

TEST(GoldenRunTest, NamesAnUnsupportedCase) {
  const std::filesystem::path folder = CopyFixture("qwen3");
  ReplaceInFile(folder / "golden.json", "\"kind\": \"text\"", "\"kind\": \"vision\"");
  EXPECT_THAT(RunFixture(folder), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("vision")));
}

TEST(GoldenRunTest, NamesTheArchitectureBeforeThePartsItLacks) {
  const std::filesystem::path folder = CopyFixture("qwen3");
  ReplaceInFile(folder / "golden.json", "\"kind\": \"text\"", "\"kind\": \"vision\"");
  ReplaceInFile(folder / "config.json", "\"model_type\": \"qwen3\"",
                "\"model_type\": \"qwen3_vl\"");
  EXPECT_THAT(RunFixture(folder),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("qwen3_vl")));
}

TEST(GoldenRunTest, FindsAWrongAdapter) {
  const std::filesystem::path folder = CopyFixture("qwen2_lora");
  ReplaceInFile(folder / "adapter_c" / "adapter_config.json", "\"down_proj\": 3",
                "\"down_proj\": 4");
  ASSERT_OK_AND_ASSIGN(const Report report, RunFixture(folder));
  EXPECT_FALSE(report.Passed());
}

TEST(GoldenRunTest, NamesWhatIsAbsent) {
  EXPECT_THAT(RunFixture("no/such/folder"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no/such/folder")));
  const std::filesystem::path folder = CopyFixture("qwen3");
  std::filesystem::remove(folder / "model.safetensors");
  EXPECT_THAT(RunFixture(folder),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("model.safetensors")));
  std::filesystem::remove(folder / "golden.safetensors");
  EXPECT_THAT(RunFixture(folder),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("golden.safetensors")));
  std::filesystem::remove(folder / "golden.json");
  EXPECT_THAT(RunFixture(folder), StatusIs(absl::StatusCode::kNotFound, HasSubstr("golden.json")));
}

TEST(GoldenRunTest, RefusesATruncatedFile) {
  const std::filesystem::path folder = CopyFixture("qwen3");
  std::filesystem::resize_file(folder / "golden.safetensors", 1000);
  EXPECT_THAT(RunFixture(folder),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("golden.safetensors")));
}

TEST(ReportTest, DeviationIsInUnitsOfTheToleranceTimesTheSpread) {
  const std::vector<float> golden = {1.0f, -1.0f, 1.0f, -1.0f},
                           close = {1.0f, -1.0f, 1.001f, -1.0f};
  EXPECT_NEAR(DeviationInTolerances(close, golden, 1e-3), 1.0, 1e-3);
  EXPECT_EQ(DeviationInTolerances(golden, golden, 1e-3), 0.0);
  const std::vector<float> nan = {1.0f, -1.0f, NAN, -1.0f};
  EXPECT_TRUE(std::isinf(DeviationInTolerances(nan, golden, 1e-3)));
  EXPECT_TRUE(std::isinf(DeviationInTolerances({}, golden, 1e-3)));
}

TEST(ReportTest, FailsWithoutChecksAndOnNan) {
  Report report;
  EXPECT_FALSE(report.Passed());
  report.Add("a", "x", 0.5);
  EXPECT_TRUE(report.Passed());
  report.Add("a", "y", NAN);
  EXPECT_FALSE(report.Passed());
  EXPECT_EQ(report.checks()[0].worst, "y");
}

}  // namespace
}  // namespace oneai::models::golden
