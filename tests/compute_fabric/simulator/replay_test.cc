#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "compute_fabric/simulator/replay_cluster_file.h"
#include "compute_fabric/simulator/replay_engine.h"
#include "compute_fabric/simulator/replay_report.h"
#include "compute_fabric/simulator/replay_trace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kGpu[] = "gpu";

NodeSpec Node(const std::string& name, int gpus) {
  NodeSpec node{.name = name, .cpu_milli = 64'000, .memory_bytes = int64_t{64} << 30};
  for (int i = 0; i < gpus; ++i) {
    node.devices.push_back({.id = absl::StrCat(i), .kind = kGpu, .memory_bytes = 1 << 30});
  }
  return node;
}

ReplayJob Job(const std::string& id, int64_t submit_s, int64_t run_s, int gpus, int priority = 0) {
  ReplayJob job{.run_time = absl::Seconds(run_s)};
  job.request = {.id = id,
                 .submitted = absl::FromUnixSeconds(submit_s),
                 .gang = true,
                 .time_limit = absl::Seconds(run_s)};
  job.request.priority = priority;
  job.request.shape.devices = {{.kind = kGpu, .count = gpus}};
  job.request.ranks = {0};
  return job;
}

int64_t CompletedS(const ReplayResult& result, size_t job) {
  return absl::ToUnixSeconds(result.jobs[job].completed);
}

TEST(ReplayEngineTest, BackfillsAndBooksTime) {
  const ReplayCluster cluster{.nodes = {Node("a", 4)}};
  const std::vector<ReplayJob> jobs = {Job("runs", 0, 100, 2), Job("wide", 1, 50, 4),
                                       Job("late", 2, 99, 2), Job("short", 4, 5, 2)};
  ReplaySettings settings;
  settings.policy.overtake_max = absl::ZeroDuration();
  const auto result = Replay(cluster, jobs, settings);
  ASSERT_OK(result);
  EXPECT_EQ(CompletedS(*result, 0), 100);
  EXPECT_EQ(CompletedS(*result, 1), 150);
  EXPECT_EQ(CompletedS(*result, 2), 249) << "would have ended a second after the planned start";
  EXPECT_EQ(CompletedS(*result, 3), 9);
  EXPECT_DOUBLE_EQ(result->busy_device_seconds.at(kGpu), 200 + 200 + 198 + 10);
}

TEST(ReplayEngineTest, AnEvictedJobGoesOnFromItsLastCheckpoint) {
  const ReplayCluster cluster{.nodes = {Node("a", 1)}};
  ReplayJob low = Job("low", 0, 1000, 1);
  low.request.time_limit = absl::InfiniteDuration();
  ReplaySettings settings;
  settings.checkpoint_interval = absl::Seconds(300);
  const auto result = Replay(cluster, {low, Job("high", 700, 50, 1, 9)}, settings);
  ASSERT_OK(result);
  EXPECT_EQ(CompletedS(*result, 1), 750);
  // 600 of 1,000 seconds were safe; 100 are done again.
  EXPECT_EQ(CompletedS(*result, 0), 750 + 400);
  EXPECT_EQ(result->jobs[0].num_evictions, 1);
  EXPECT_DOUBLE_EQ(result->jobs[0].lost_device_seconds, 100);
  EXPECT_DOUBLE_EQ(result->jobs[0].device_seconds, 700 + 400);
}

TEST(ReplayEngineTest, ElasticGangsGrowAtACheckpointAndLimitsStop) {
  const ReplayCluster cluster{.nodes = {Node("a", 2)}};
  ReplayJob elastic = Job("elastic", 0, 1000, 1);
  elastic.request.time_limit = absl::InfiniteDuration();
  elastic.request.tasks = 2;
  elastic.request.ranks = {0, 1};
  ReplayJob stuck = Job("stuck", 0, 5000, 1, 1);
  stuck.request.time_limit = absl::Seconds(600);
  ReplaySettings settings;
  settings.checkpoint_interval = absl::Seconds(300);
  const auto result = Replay(cluster, {elastic, stuck}, settings);
  ASSERT_OK(result);
  EXPECT_TRUE(result->jobs[1].stopped_at_limit);
  EXPECT_EQ(CompletedS(*result, 1), 600);
  // Alone from 600 on: 300 of its 1,000 seconds are done, the rest goes at full speed.
  EXPECT_EQ(result->jobs[0].num_resizes, 1);
  EXPECT_EQ(CompletedS(*result, 0), 600 + 700);
  EXPECT_DOUBLE_EQ(result->jobs[0].lost_device_seconds, 0);
}

TEST(ReplayEngineTest, AJobThatNeverFitsNeverCompletesAndTheReplayEnds) {
  const auto result =
      Replay({.nodes = {Node("a", 1)}}, {Job("never", 0, 10, 2), Job("runs", 1, 10, 1)}, {});
  ASSERT_OK(result);
  EXPECT_EQ(result->jobs[0].completed, absl::InfiniteFuture());
  EXPECT_EQ(CompletedS(*result, 1), 11);
}

absl::StatusOr<std::vector<ReplayJob>> ReadText(const std::string& text) {
  const auto table = CsvTable::Parse("t.csv", text);
  if (!table.ok()) return table.status();
  return ReadReplayTrace(*table, {.kinds = {"a100", "h100"}});
}

TEST(ReplayTraceTest, ReadsAllThreeFormats) {
  auto jobs = ReadText(
      "submit,duration,tasks,tasks_min,cpus,memory,kind,count,limit,topology\n"
      "5,1h30m,4,2,1.5,16GiB,h100|a100*0.5,8,2h,rack!\n");
  ASSERT_OK(jobs);
  const JobView& simple = (*jobs)[0].request;
  EXPECT_EQ((*jobs)[0].run_time, absl::Minutes(90));
  EXPECT_EQ(simple.submitted, absl::FromUnixSeconds(5));
  EXPECT_THAT(simple.ranks, SizeIs(4));
  EXPECT_EQ(simple.tasks_min, 2);
  EXPECT_EQ(simple.shape.cpu_milli, 1500);
  EXPECT_EQ(simple.shape.memory_bytes, int64_t{16} << 30);
  ASSERT_THAT(simple.shape.devices, SizeIs(2));
  EXPECT_EQ(simple.shape.devices[1].relative_throughput, 0.5);
  EXPECT_EQ(simple.time_limit, absl::Hours(2));
  EXPECT_TRUE(simple.topology->required);

  jobs = ReadText("submit_time,duration_s,num_gpus,virtual_cluster\n2017-09-04 10:30:41,7,12,x\n");
  ASSERT_OK(jobs);
  EXPECT_EQ((*jobs)[0].request.tasks, 3);
  EXPECT_THAT((*jobs)[0].request.shape.devices, SizeIs(2));
  EXPECT_EQ((*jobs)[0].request.shape.devices[0].count, 4);

  jobs = ReadText(
      "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,"
      "deletion_time,scheduled_time\n"
      "p0,12000,16384,1,460,,LS,Running,0,500,100\np1,12000,16384,1,1000,T4,LS,Pending,9,,\n");
  ASSERT_OK(jobs);
  ASSERT_THAT(*jobs, SizeIs(1));
  EXPECT_EQ((*jobs)[0].run_time, absl::Seconds(400));
  EXPECT_EQ((*jobs)[0].request.shape.devices[0].milli, 460);
  EXPECT_EQ((*jobs)[0].request.queue, "LS");
}

TEST(ReplayTraceTest, NamesWhatIsWrong) {
  EXPECT_THAT(ReadText("submit,duration,cpu\n0,1,1\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("did you mean cpus?")));
  EXPECT_THAT(ReadText("submit,duration\n0,soon\n"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("line 2"), HasSubstr("duration"))));
  EXPECT_THAT(ReadText("submit,duration,tasks,tasks_min\n0,1,2,3\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tasks_min")));
  EXPECT_THAT(ReadText("submit,duration,name\n0,1,j\n1,1,j\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a second job named j")));
}

absl::StatusOr<ReplayFile> ParseCluster(const std::string& text) {
  return ParseReplayFile(text, "c.yaml", absl::UnixEpoch());
}

TEST(ReplayClusterFileTest, NamesUnknownKeysAndWrongValues) {
  EXPECT_THAT(ParseCluster("nodes:\n  - name: a\n    devises: []\n"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("c.yaml:3"), HasSubstr("devices"))));
  EXPECT_THAT(ParseCluster("nodes: [{name: a}]\npolicy: {score: best}\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("score")));
  EXPECT_THAT(ParseCluster("queues: []\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at least one group")));
  EXPECT_THAT(ParseCluster("nodes: [{name: a}]\nmaintenance: [{nodes: [b], start: 0, end: 1h}]\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no node begins with b")));
}

TEST(ReplayExampleTest, TheExampleRunsAndReports) {
  const auto dir = oneai::testing::FromEnvironment("ONEAI_SOURCE_DIR", ".") / "examples" / "sim";
  std::ifstream stream(dir / "cluster.yaml");
  const std::string text((std::istreambuf_iterator<char>(stream)),
                         std::istreambuf_iterator<char>());
  const auto file = ParseCluster(text);
  ASSERT_OK(file);
  EXPECT_THAT(file->cluster.nodes, SizeIs(6));
  EXPECT_THAT(file->cluster.nodes[5].holds, SizeIs(1));
  const auto table = CsvTable::Read(dir / "trace.csv");
  ASSERT_OK(table);
  const auto jobs = ReadReplayTrace(*table, {});
  ASSERT_OK(jobs);
  const auto result = Replay(file->cluster, *jobs, file->settings);
  ASSERT_OK(result);
  const ReplayReport report = MakeReplayReport("oneai", file->cluster, *jobs, *result);
  EXPECT_EQ(report.num_jobs, 12);
  EXPECT_EQ(report.num_never_completed, 0);
  EXPECT_THAT(ReplayTables({report}), AllOf(HasSubstr("retail/nlp"), HasSubstr("utilisation")));
  EXPECT_THAT(ReplayJson({report}), HasSubstr("\"p95_wait_s\""));
}

}  // namespace
}  // namespace oneai::fabric
