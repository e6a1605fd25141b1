// The FGD experiment on a small extract of the trace: pinned, so that a change of any score shows.
#include <gtest/gtest.h>

#include <fstream>

#include "compute_fabric/scheduler/score/score.h"
#include "compute_fabric/simulator/fgd_experiment.h"
#include "compute_fabric/simulator/fgd_report.h"
#include "compute_fabric/simulator/fgd_trace.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai::fabric {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

std::string ExtractFile(const std::string& name) {
  return (testing::DataDir() / "alibaba-gpu-v2023" / name).string();
}

struct Pinned {
  ScorePolicy policy;
  int64_t num_failed;
  double alloc_pct;
};

TEST(FgdExperimentTest, ExtractGivesPinnedResults) {
  ASSERT_OK_AND_ASSIGN(const std::vector<NodeSpec> nodes,
                       ReadFgdNodes(ExtractFile("openb_node_list_extract.csv")));
  ASSERT_OK_AND_ASSIGN(const FgdWorkload workload,
                       ReadFgdTasks(ExtractFile("openb_pod_list_extract.csv"), nodes));
  EXPECT_EQ(workload.name, "extract");
  EXPECT_EQ(nodes.size(), 61u);
  EXPECT_EQ(workload.tasks.size(), 408u);
  for (const Pinned& pinned : std::vector<Pinned>{{ScorePolicy::kRandom, 124, 82.820},
                                                  {ScorePolicy::kDotProduct, 124, 82.733},
                                                  {ScorePolicy::kClustering, 129, 84.567},
                                                  {ScorePolicy::kPacking, 127, 83.897},
                                                  {ScorePolicy::kBestFit, 120, 82.367},
                                                  {ScorePolicy::kFgd, 115, 94.003},
                                                  {ScorePolicy::kOneai, 113, 90.010}}) {
    const FgdRun run = RunFgd(nodes, workload.tasks, pinned.policy, 1);
    EXPECT_EQ(run.num_arrived, 495);
    EXPECT_EQ(run.num_failed, pinned.num_failed) << ScorePolicyName(pinned.policy);
    EXPECT_NEAR(run.by_arrived_pct[100].alloc_pct, pinned.alloc_pct, 0.001)
        << ScorePolicyName(pinned.policy);
  }
}

TEST(FgdExperimentTest, EqualSeedsGiveEqualRuns) {
  ASSERT_OK_AND_ASSIGN(const std::vector<NodeSpec> nodes,
                       ReadFgdNodes(ExtractFile("openb_node_list_extract.csv")));
  ASSERT_OK_AND_ASSIGN(const FgdWorkload workload,
                       ReadFgdTasks(ExtractFile("openb_pod_list_extract.csv"), nodes));
  for (ScorePolicy policy : {ScorePolicy::kRandom, ScorePolicy::kOneai}) {
    const FgdRun a = RunFgd(nodes, workload.tasks, policy, 5);
    const FgdRun b = RunFgd(nodes, workload.tasks, policy, 5);
    EXPECT_EQ(a.num_failed, b.num_failed);
    EXPECT_EQ(a.by_arrived_pct[130].alloc_pct, b.by_arrived_pct[130].alloc_pct);
  }
}

class FgdFilesTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = (dir_.path() / name).string();
    std::ofstream(path) << text;
    return path;
  }
  testing::TempDir dir_;
};

TEST_F(FgdFilesTest, BadNodesNameLineAndColumn) {
  EXPECT_THAT(ReadFgdNodes(dir_.path().string() + "/none.csv"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("cannot be read")));
  const std::string header = "sn,cpu_milli,memory_mib,gpu,model\n";
  struct Case {
    std::string text, message;
  };
  for (const Case& c : std::vector<Case>{
           {"", "empty"},
           {"sn,cpu_milli,memory_mib,gpu\n", "no column \"model\""},
           {header + "a,1000,1,2\n", "line 2: 4 fields, the header has 5"},
           {header + "a,x,1,2,T4\n", "line 2, column cpu_milli: \"x\": not a whole number"},
           {header + "a,1,-1,2,T4\n", "column memory_mib: \"-1\": must be from 0"},
           {header + "a,1,99999999999999999999,2,T4\n", "column memory_mib"},
           {header + "a,1,1,2,\n", "column model"},
           {header + "a,1,1,2,T4\na,1,1,2,T4\n",
            "line 3, column sn: \"a\": the name is there twice"},
           {header + "a,1,1,0,\n", "no node with a GPU"}}) {
    EXPECT_THAT(ReadFgdNodes(Write("nodes.csv", c.text)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(c.message)))
        << c.text;
  }
}

TEST_F(FgdFilesTest, BadTasksNameLineAndColumn) {
  ASSERT_OK_AND_ASSIGN(
      const std::vector<NodeSpec> nodes,
      ReadFgdNodes(Write("n.csv", "sn,cpu_milli,memory_mib,gpu,model\na,1000,1,2,T4\n")));
  const std::string header = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n";
  struct Case {
    std::string text, message;
  };
  for (const Case& c : std::vector<Case>{
           {header + "t,1,1,1,0,\n", "column gpu_milli: \"0\": a GPU task needs 1 to 1000"},
           {header + "t,1,1,2,500,\n", "tasks with several GPUs take whole ones"},
           {header + "t,1,1,1,1001,\n", "must be from 0 to 1000"},
           {header + "t,1,1,1,500,A100\n", "line 2, column gpu_spec: \"A100\": no node has such"},
           {header + "t,1,1,0,0,\n", "no task with a GPU"}}) {
    EXPECT_THAT(ReadFgdTasks(Write("t.csv", c.text), nodes),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(c.message)))
        << c.text;
  }
}

TEST(FgdReportTest, ParsesSeeds) {
  ASSERT_OK_AND_ASSIGN(const std::vector<uint64_t> seeds, ParseSeeds("42..44,7"));
  EXPECT_EQ(seeds, (std::vector<uint64_t>{42, 43, 44, 7}));
  for (const char* bad : {"", "x", "5..3", "1..", "1..99999999", "-1"}) {
    EXPECT_THAT(ParseSeeds(bad),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected a number")))
        << bad;
  }
}

TEST(FgdReportTest, SummarizesAsASample) {
  const MeanAndSd summary = Summarize({1, 2, 3});
  EXPECT_DOUBLE_EQ(summary.mean, 2);
  EXPECT_DOUBLE_EQ(summary.sd, 1);
  EXPECT_DOUBLE_EQ(Summarize({5}).sd, 0);
}

// The whole default workload, against what was published.
TEST(FgdPublishedTest, DefaultWorkloadIsWithinTwoStandardDeviations) {
  if (!testing::SharedDir()) GTEST_SKIP() << "ONEAI_SHARED_DIR with Alibaba's trace is not here";
  const std::filesystem::path dir = *testing::SharedDir() / "traces" / "alibaba-gpu-v2023";
  if (!std::filesystem::exists(dir)) GTEST_SKIP() << "no traces/alibaba-gpu-v2023 in it";
  ASSERT_OK_AND_ASSIGN(const std::vector<NodeSpec> nodes,
                       ReadFgdNodes(dir / "openb_node_list_gpu_node.csv"));
  ASSERT_OK_AND_ASSIGN(const FgdWorkload workload,
                       ReadFgdTasks(dir / "openb_pod_list_default.csv", nodes));
  ASSERT_OK_AND_ASSIGN(const FgdPublished published,
                       ReadFgdPublished(dir / "fgd_published_results.csv"));
  for (ScorePolicy policy :
       {ScorePolicy::kRandom, ScorePolicy::kDotProduct, ScorePolicy::kClustering,
        ScorePolicy::kPacking, ScorePolicy::kBestFit, ScorePolicy::kFgd, ScorePolicy::kOneai}) {
    FgdOutcome outcome{"default", policy, {42, 43, 44}, {}};
    for (uint64_t seed : outcome.seeds) {
      outcome.runs.push_back(RunFgd(nodes, workload.tasks, policy, seed));
    }
    const double mean = AllocationAt(outcome, 100).mean;
    if (policy == ScorePolicy::kOneai) {
      EXPECT_GT(mean, published.at({"default", ScorePolicy::kFgd}).mean + 0.5);
    } else {
      const MeanAndSd& expected = published.at({"default", policy});
      EXPECT_NEAR(mean, expected.mean, 2 * expected.sd) << ScorePolicyName(policy);
    }
  }
}

}  // namespace
}  // namespace oneai::fabric
