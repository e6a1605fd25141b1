// Gavel's rounds on small traces whose outcome can be worked out by hand, and the files' errors.
#include <gtest/gtest.h>

#include <fstream>

#include "compute_fabric/simulator/gavel_policies.h"
#include "compute_fabric/simulator/gavel_simulation.h"
#include "compute_fabric/simulator/gavel_trace.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai::fabric {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

GavelJob JobOf(double arrival_s, double steps, std::vector<double> throughput, int64_t gpus = 1) {
  GavelJob job;
  job.arrival_s = arrival_s;
  job.total_steps = steps;
  job.throughput = std::move(throughput);
  job.num_gpus = gpus;
  return job;
}

TEST(GavelSimulationTest, OneJobRunsOnItsFastestKind) {
  const std::vector<GavelJob> jobs = {JobOf(0, 7'200, {1, 4})};
  for (GavelPolicy policy : {GavelPolicy::kFifoAware, GavelPolicy::kMaxMin, GavelPolicy::kOneai,
                             GavelPolicy::kOneaiShort}) {
    const GavelOutcome outcome = SimulateGavel(jobs, policy, {{1, 1}});
    EXPECT_DOUBLE_EQ(outcome.mean_jct_s, 1'800) << GavelPolicyName(policy);
    EXPECT_DOUBLE_EQ(outcome.makespan_s, 1'800);
    EXPECT_DOUBLE_EQ(outcome.utilization, 0.5);
    EXPECT_DOUBLE_EQ(outcome.interruptions_per_job, 0);
  }
}

TEST(GavelSimulationTest, FifoRunsJobsToTheirEndInOrder) {
  // On one GPU: 0-500, then from the next round (720) to 1,220; the third, as it came, last.
  const std::vector<GavelJob> jobs = {JobOf(0, 500, {1}), JobOf(1, 500, {1}), JobOf(2, 100, {1})};
  const GavelOutcome outcome = SimulateGavel(jobs, GavelPolicy::kFifo, {{1}});
  EXPECT_DOUBLE_EQ(outcome.mean_jct_s, (500 + (1'220 - 1) + (1'540 - 2)) / 3.0);
  EXPECT_DOUBLE_EQ(outcome.makespan_s, 1'540);
}

TEST(GavelSimulationTest, ShortJobsGoFirstWhereThatIsKnown) {
  const std::vector<GavelJob> jobs = {JobOf(0, 5'000, {1}), JobOf(0, 100, {1})};
  const GavelOutcome outcome = SimulateGavel(jobs, GavelPolicy::kOneaiShort, {{1}});
  EXPECT_DOUBLE_EQ(outcome.mean_jct_s, (100 + 360 + 5'000) / 2.0);
}

TEST(GavelSimulationTest, NewcomersDoNotWaitForLongJobs) {
  const std::vector<GavelJob> jobs = {JobOf(0, 36'000, {1}), JobOf(3'600, 100, {1})};
  EXPECT_DOUBLE_EQ(SimulateGavel(jobs, GavelPolicy::kOneai, {{1}}).mean_jct_s,
                   (36'000 + 360 + 100) / 2.0);
}

TEST(GavelSimulationTest, MaxMinSharesTimeEqually) {
  // Two equal jobs on one GPU take turns: they end within a round of each other.
  const std::vector<GavelJob> jobs = {JobOf(0, 3'600, {1}), JobOf(0, 3'600, {1})};
  const GavelOutcome outcome = SimulateGavel(jobs, GavelPolicy::kMaxMin, {{1}});
  EXPECT_DOUBLE_EQ(outcome.makespan_s, 7'200);
  EXPECT_DOUBLE_EQ(outcome.mean_jct_s, (6'840 + 7'200) / 2.0);
  EXPECT_NEAR(outcome.worst_fairness, 1, 0.06);
}

TEST(GavelSimulationTest, KindsGoToThoseWhoGain) {
  // Both want kind 1; the second gains hardly anything there.
  const std::vector<GavelJob> jobs = {JobOf(0, 36'000, {1, 10}), JobOf(0, 36'000, {10, 11})};
  const GavelOutcome ours = SimulateGavel(jobs, GavelPolicy::kOneai, {{1, 1}});
  EXPECT_DOUBLE_EQ(ours.mean_jct_s, 3'600);
  EXPECT_DOUBLE_EQ(ours.interruptions_per_job, 0);
}

TEST(GavelSimulationTest, RestartsCostTime) {
  GavelOptions options{{1}};
  options.restart_s = 20;
  const GavelOutcome outcome = SimulateGavel({JobOf(0, 1'000, {1})}, GavelPolicy::kMaxMin, options);
  EXPECT_DOUBLE_EQ(outcome.mean_jct_s, 1'020);
}

TEST(GavelSimulationTest, JobsWiderThanTheClusterAreLeftOut) {
  const std::vector<GavelJob> jobs = {JobOf(0, 100, {1, 0}, 4), JobOf(0, 100, {1, 1}, 1)};
  EXPECT_EQ(SimulateGavel(jobs, GavelPolicy::kOneai, {{2, 8}}).num_jobs, 1);
  EXPECT_EQ(SimulateGavel({jobs[0]}, GavelPolicy::kOneai, {{2, 8}}).num_jobs, 0);
}

class GavelFilesTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = (dir_.path() / name).string();
    std::ofstream(path) << text;
    return path;
  }
  GavelThroughputs Throughputs() {
    return ReadGavelThroughputs(Write("t.csv",
                                      "accelerator,consolidated,job_type,num_gpus,steps_per_s\n"
                                      "v100,1,A,1,10\nk80,1,A,1,2\nv100,1,A,4,30\nk80,0,A,4,1\n"))
        .value();
  }
  absl::StatusOr<GavelTrace> Trace(const std::string& rows,
                                   MissingThroughput missing = MissingThroughput::kDrop) {
    return ReadGavelTrace(Write("j.csv", "job_id,job_type,num_gpus,total_steps,arrival_s\n" + rows),
                          Throughputs(), missing);
  }
  testing::TempDir dir_;
};

TEST_F(GavelFilesTest, ReadsConsolidatedThroughputs) {
  const GavelThroughputs throughputs = Throughputs();
  EXPECT_EQ(throughputs.kinds, (std::vector<std::string>{"k80", "v100"}));
  EXPECT_EQ(throughputs.by_type_and_gpus.at({"A", 1}), (std::vector<double>{2, 10}));
  EXPECT_EQ(throughputs.by_type_and_gpus.at({"A", 4}), (std::vector<double>{0, 30}));
}

TEST_F(GavelFilesTest, SaysWhatItDropsOrScales) {
  const std::string rows = "0,A,1,100,50\n1,A,8,100,0\n2,A,8,100,1\n";
  ASSERT_OK_AND_ASSIGN(const GavelTrace dropped, Trace(rows));
  EXPECT_EQ(dropped.jobs.size(), 1u);
  EXPECT_EQ(dropped.missing, (std::map<std::string, int64_t>{{"A x8", 2}}));
  ASSERT_OK_AND_ASSIGN(const GavelTrace scaled, Trace(rows, MissingThroughput::kScale));
  ASSERT_EQ(scaled.jobs.size(), 3u);
  EXPECT_EQ(scaled.jobs[0].id, 1);  // by arrival
  EXPECT_EQ(scaled.jobs[0].throughput, (std::vector<double>{0, 60}));
  EXPECT_EQ(scaled.missing, dropped.missing);
}

TEST_F(GavelFilesTest, BadRowsNameLineAndColumn) {
  EXPECT_THAT(Trace("0,B,1,100,0\n"), StatusIs(absl::StatusCode::kInvalidArgument,
                                               HasSubstr("line 2, column job_type: \"B\"")));
  EXPECT_THAT(Trace("0,A,0,100,0\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("column num_gpus")));
  EXPECT_THAT(Trace("0,A,1,nan,0\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("column total_steps")));
  EXPECT_THAT(Trace(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no job")));
  EXPECT_THAT(ParseGavelPolicy("gavel"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("max_min")));
}

// A published trace, crowded on the 108 GPUs of the paper's simulations.
TEST(GavelPublishedTest, OursIsAheadOfMaxMinFairness) {
  if (!testing::SharedDir()) GTEST_SKIP() << "ONEAI_SHARED_DIR with Gavel's traces is not here";
  const std::filesystem::path dir = *testing::SharedDir() / "traces" / "gavel";
  if (!std::filesystem::exists(dir)) GTEST_SKIP() << "no traces/gavel in it";
  ASSERT_OK_AND_ASSIGN(const GavelThroughputs throughputs,
                       ReadGavelThroughputs(dir / "throughputs_isolated.csv"));
  ASSERT_OK_AND_ASSIGN(GavelTrace trace, ReadGavelTrace(dir / "msr_0e4a51_seed0.csv", throughputs,
                                                        MissingThroughput::kDrop));
  EXPECT_EQ(trace.num_rows - static_cast<int64_t>(trace.jobs.size()), 197);
  const GavelOptions options{{36, 36, 36}};
  const auto mean_jct = [&](GavelPolicy policy) {
    return SimulateGavel(trace.jobs, policy, options).mean_jct_s;
  };
  const double max_min = mean_jct(GavelPolicy::kMaxMin);
  EXPECT_LT(mean_jct(GavelPolicy::kOneai), max_min);
  EXPECT_LT(mean_jct(GavelPolicy::kOneaiShort), max_min);
  EXPECT_GT(mean_jct(GavelPolicy::kFifo), max_min);
}

}  // namespace
}  // namespace oneai::fabric
