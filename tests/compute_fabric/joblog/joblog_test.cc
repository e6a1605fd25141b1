#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "compute_fabric/joblog/log_store.h"
#include "compute_fabric/joblog/metric_lines.h"
#include "compute_fabric/joblog/metric_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class LogStoreTest : public ::testing::Test {
 protected:
  LogStoreTest()
      : root_(std::filesystem::path(::testing::TempDir()) / absl::StrCat("logs-", getpid())) {
    std::filesystem::remove_all(root_);
  }
  ~LogStoreTest() override { std::filesystem::remove_all(root_); }

  const std::filesystem::path root_;
  const LogName name_{.job_id = "job-1", .rank = 0, .attempt = 1, .stream = v1::OUTPUT};
  const LogName metrics_{.job_id = "job-1", .rank = 0, .attempt = 1, .stream = v1::METRICS};
};

TEST_F(LogStoreTest, AppendsOnlyAtTheEndAndSaysWhereToContinue) {
  LogStore logs(root_);
  EXPECT_THAT(logs.Append(name_, 0, "abc", false), ::testing::Eq(absl::StatusOr<int64_t>(3)));
  ASSERT_OK_AND_ASSIGN(const int64_t overlap, logs.Append(name_, 1, "bcd", false));
  EXPECT_EQ(overlap, 3) << "nothing was written";
  ASSERT_OK_AND_ASSIGN(const int64_t gap, logs.Append(name_, 9, "x", false));
  EXPECT_EQ(gap, 3);
  ASSERT_OK_AND_ASSIGN(const int64_t size, logs.Append(name_, 3, "def", true));
  EXPECT_EQ(size, 6);
  ASSERT_OK_AND_ASSIGN(const LogSlice slice, logs.Read(name_, -4, 100));
  EXPECT_EQ(slice.offset, 2);
  EXPECT_EQ(slice.data, "cdef");
  EXPECT_TRUE(slice.eof);
}

TEST_F(LogStoreTest, ContinuesAfterARestart) {
  ASSERT_OK(LogStore(root_).Append(name_, 0, "abc", false).status());
  LogStore logs(root_);
  ASSERT_OK_AND_ASSIGN(const int64_t size, logs.Append(name_, 3, "def", false));
  EXPECT_EQ(size, 6);
  EXPECT_THAT(logs.Attempts("job-1", 0, v1::OUTPUT), ::testing::ElementsAre(1));
}

TEST_F(LogStoreTest, KeepsABoundedPartAndSaysSo) {
  LogStore logs(root_, 8);
  ASSERT_OK(logs.Append(name_, 0, "0123456789", false).status());
  ASSERT_OK_AND_ASSIGN(const int64_t size, logs.Append(name_, 10, "more", true));
  EXPECT_EQ(size, 14) << "the agent must go on";
  EXPECT_EQ(std::filesystem::file_size(root_ / "job-1" / "0.1.output"), 8u);
  ASSERT_OK_AND_ASSIGN(const LogSlice head, logs.Read(name_, 0, 100));
  EXPECT_EQ(head.data, "01234567");
  EXPECT_FALSE(head.eof);
  ASSERT_OK_AND_ASSIGN(const LogSlice notice, logs.Read(name_, 8, 100));
  EXPECT_THAT(notice.data, HasSubstr("beyond 8 bytes is not kept"));
  EXPECT_TRUE(notice.eof);
}

TEST_F(LogStoreTest, RefusesPathsAndHugeChunks) {
  LogStore logs(root_);
  LogName bad = name_;
  bad.job_id = "../etc";
  EXPECT_THAT(logs.Append(bad, 0, "x", false),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("job_id")));
  EXPECT_THAT(logs.Append(name_, 0, std::string(LogStore::kAppendBytesMax + 1, 'x'), false),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most")));
}

TEST_F(LogStoreTest, MetricsSurviveARestartAndTellEventsOnce) {
  const std::string first =
      "{\"step\":1,\"loss\":3}\n{\"event\":\"checkpoint.saved\",\"path\":\"c-1\"}\n{\"step\":2,";
  const std::string second = "\"loss\":2}\n{\"event\":\"checkpoint.saved\",\"path\":\"c-2\"}\n";
  {
    LogStore logs(root_);
    MetricStore metrics(&logs);
    ASSERT_OK(logs.Append(metrics_, 0, first, false).status());
    EXPECT_THAT(metrics.Ingest(metrics_, 0), SizeIs(1));
    EXPECT_EQ(metrics.Get("job-1", {}).series(0).points_size(), 1)
        << "the second line is not whole yet";
  }
  LogStore logs(root_);
  MetricStore metrics(&logs);
  ASSERT_OK(logs.Append(metrics_, static_cast<int64_t>(first.size()), second, false).status());
  const std::vector<ReportedEvent> events =
      metrics.Ingest(metrics_, static_cast<int64_t>(first.size()));
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].path, "c-2");
  EXPECT_EQ(metrics.Get("job-1", {"loss"}).series(0).points_size(), 2);
  EXPECT_EQ(metrics.Get("job-1", {"other"}).series_size(), 0);
}

TEST_F(LogStoreTest, AStepComputedAgainShowsTheNewestAttempt) {
  LogStore logs(root_);
  MetricStore metrics(&logs);
  LogName again = metrics_;
  again.attempt = 2;
  ASSERT_OK(logs.Append(metrics_, 0, "{\"step\":1,\"loss\":3}\n{\"step\":2,\"loss\":2}\n", true)
                .status());
  ASSERT_OK(logs.Append(again, 0, "{\"step\":2,\"loss\":2.5}\n", true).status());
  const v1::MetricSeriesList list = metrics.Get("job-1", {});
  EXPECT_EQ(list.series(0).points(1).value(), 2.5);
  EXPECT_EQ(list.series(0).points(1).attempt(), 2);
}

TEST_F(LogStoreTest, LongSeriesAreThinned) {
  LogStore logs(root_);
  MetricStore metrics(&logs);
  std::string text;
  for (int step = 0; step < 9000; ++step) absl::StrAppend(&text, "{\"step\":", step, ",\"a\":1}\n");
  ASSERT_OK(logs.Append(metrics_, 0, text, true).status());
  const v1::MetricSeriesList list = metrics.Get("job-1", {});
  EXPECT_LE(list.series(0).points_size(), static_cast<int>(MetricStore::kPointsMax));
  EXPECT_EQ(list.series(0).points(0).step(), 0);
  EXPECT_EQ(list.series(0).points(list.series(0).points_size() - 1).step(), 8999);
}

TEST(MetricLinesTest, RefusesWhatIsNotAWellFormedLine) {
  for (const std::string& line :
       {std::string("nonsense"), std::string("[1]"), std::string("{\"a\":1e999}"),
        std::string("{\"event\":\"rm -rf\"}"), std::string("{\"a\":"),
        std::string("{\"event\":\"checkpoint.saved\",\"path\":\"../../etc\"}"),
        std::string("{\"event\":\"checkpoint.saved\",\"path\":\"/etc\"}"), std::string(20000, ' '),
        std::string(100, '[')}) {
    EXPECT_FALSE(ParseMetricLine(line).has_value()) << line.substr(0, 60);
  }
}

TEST(MetricLinesTest, KeepsFiniteNumbersWithSafeNames) {
  const auto line = ParseMetricLine(
      "{\"step\":3,\"unix_ms\":7,\"loss\":1.5,\"bad name\":1,\"text\":\"x\",\"ok/2\":2}");
  ASSERT_TRUE(line.has_value());
  const auto& sample = std::get<MetricSample>(*line);
  EXPECT_EQ(sample.step, 3);
  EXPECT_THAT(sample.values, ::testing::UnorderedElementsAre(::testing::Pair("loss", 1.5),
                                                             ::testing::Pair("ok/2", 2.0)));
}

TEST(MetricLinesTest, PrintableReplacesControlsAndBrokenUtf8) {
  EXPECT_EQ(Printable("a\x1b[0m\xff\xc3\xa9\xe4\xb8", 100), "a?[0m?\xc3\xa9??");
  EXPECT_EQ(Printable("\xc3\xa9\xc3\xa9", 3), "\xc3\xa9");
}

}  // namespace
}  // namespace oneai::fabric
