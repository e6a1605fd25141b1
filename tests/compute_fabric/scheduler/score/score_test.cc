// The published policies, against scores worked out by hand from the formulas of the FGD paper's
// artifact.
#include "compute_fabric/scheduler/score/score.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/compute_fabric/scheduler/score/score_nodes.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

TEST(TypicalTasksTest, TakesTheMostFrequentUntilCovered) {
  std::vector<TaskShape> tasks(6, TaskOf(1'000, 1));
  tasks.resize(9, TaskOf(2'000, 1, 500));
  tasks.push_back(TaskOf(8'000, 0));
  const std::vector<TypicalTask> typical = TypicalTasks(tasks, 0.9);
  ASSERT_EQ(typical.size(), 2u);
  EXPECT_EQ(typical[0].shape, tasks[0]);
  EXPECT_DOUBLE_EQ(typical[0].popularity, 6.0 / 9);
  EXPECT_DOUBLE_EQ(typical[1].popularity, 3.0 / 9);
  EXPECT_EQ(TypicalTasks(tasks, 0.91).size(), 3u);
  EXPECT_TRUE(TypicalTasks({}).empty());
}

TEST(TypicalTasksTest, TiesGoToTheLargerShapeAndMemoryIsLeftOut) {
  std::vector<TaskShape> tasks = {TaskOf(1'000, 1), TaskOf(2'000, 1), TaskOf(2'000, 1)};
  tasks.push_back(TaskOf(1'000, 1));
  tasks[0].memory_bytes = 1 << 20;
  const std::vector<TypicalTask> typical = TypicalTasks(tasks, 0.5);
  ASSERT_EQ(typical.size(), 1u);
  EXPECT_EQ(typical[0].shape.cpu_milli, 2'000);
  EXPECT_EQ(TypicalTasks(tasks).size(), 2u);
}

TEST(FragmentationTest, CountsWhatEachTypicalTaskCannotUse) {
  const std::vector<TypicalTask> typical = {{TaskOf(4'000, 1, 600), 0.5},   // fits on the second
                                            {TaskOf(4'000, 1), 0.2},        // fits nowhere
                                            {TaskOf(16'000, 1, 100), 0.1},  // too much CPU
                                            {TaskOf(1'000, 0), 0.2}};       // CPU only
  const NodeState node = NodeWith(8'000, {300, 700, 0});
  EXPECT_NEAR(Fragmentation(node, typical), 0.5 * 300 + 0.5 * 1'000, 1e-9);
}

TEST(FragmentationTest, AGangNeedsEnoughDevicesAndOtherKindsAreOfNoUse) {
  const std::vector<TypicalTask> pairs = {{TaskOf(1'000, 2), 1.0}};
  EXPECT_DOUBLE_EQ(Fragmentation(NodeWith(8'000, {1'000, 1'000, 500}), pairs), 500);
  EXPECT_DOUBLE_EQ(Fragmentation(NodeWith(8'000, {1'000, 900}), pairs), 1'900);
  EXPECT_DOUBLE_EQ(Fragmentation(NodeWith(8'000, {1'000, 1'000}, "other"), pairs), 2'000);
  NodeState sick = NodeWith(8'000, {1'000, 1'000, 1'000});
  sick.devices[0].healthy = false;
  EXPECT_DOUBLE_EQ(Fragmentation(sick, pairs), 0);
}

TEST(ScoreTest, BestFitPrefersTheFullerNode) {
  const auto scorer = MakeScorer(ScorePolicy::kBestFit, {});
  // 100 (1 - 0.5 * 60/128 - 0.5 * 1200/8000) = 69.06
  const NodeScore score = ScoreOn(*scorer, NodeWith(64'000, {1'000, 500}), TaskOf(4'000, 1, 300));
  EXPECT_EQ(score.score, 69);
  EXPECT_EQ(score.device, 1);  // the device with least left that fits
  EXPECT_TRUE(scorer->IsLocal());
}

TEST(ScoreTest, DotProductPrefersScarceWhereMuchIsAsked) {
  const auto scorer = MakeScorer(ScorePolicy::kDotProduct, {});
  // 100 (1 - (64/128 * 32/128 + 4000/8000 * 2000/8000) / 2) = 87.5
  EXPECT_EQ(
      ScoreOn(*scorer, NodeWith(64'000, {1'000, 1'000, 1'000, 1'000}), TaskOf(32'000, 2)).score,
      87);
}

TEST(ScoreTest, PackingFillsSharedDevicesThenUsedNodesThenIdleOnes) {
  const auto scorer = MakeScorer(ScorePolicy::kPacking, {});
  const TaskShape half = TaskOf(1'000, 1, 500);
  EXPECT_EQ(ScoreOn(*scorer, NodeWith(9'000, {600, 1'000}), half).score, 94);
  EXPECT_EQ(ScoreOn(*scorer, NodeWith(9'000, {400, 1'000}), half).score, 49);
  EXPECT_EQ(ScoreOn(*scorer, NodeWith(9'000, {1'000, 1'000}), half).score, 31);
  EXPECT_EQ(ScoreOn(*scorer, NodeWith(9'000, {0, 1'000, 1'000, 1'000}), TaskOf(0, 3)).score, 47);
  EXPECT_EQ(ScoreOn(*scorer, NodeWith(9'000, {1'000}), TaskOf(1'000, 0)).score, 0);
}

TEST(ScoreTest, ClusteringKeepsClassesTogether) {
  const auto scorer = MakeScorer(ScorePolicy::kClustering, {});
  NodeState node = NodeWith(9'000, {1'000, 1'000, 0, 0});  // int(25 * 6000/8000) = 18
  const TaskShape single = TaskOf(1'000, 1);
  EXPECT_EQ(ScoreOn(*scorer, node, single).score, 18 + 25);
  node.num_tasks_by_class[2] = 1;
  EXPECT_EQ(ScoreOn(*scorer, node, single).score, 18);
  node.num_tasks_by_class[1] = 1;
  EXPECT_EQ(ScoreOn(*scorer, node, single).score, 18 + 50);
  node.num_tasks_by_class[2] = 0;
  EXPECT_EQ(ScoreOn(*scorer, node, single).score, 18 + 75);
  EXPECT_EQ(ScoreOn(*scorer, node, TaskOf(1'000, 0)).score, 0);
}

TEST(ScoreTest, FgdFollowsTheFallOfFragmentation) {
  const auto scorer = MakeScorer(ScorePolicy::kFgd, {{TaskOf(1'000, 1), 1.0}});
  // Device 0 is a fragment of 600; 500 of it goes: sigmoid(0.5) = 0.6225. A whole device would
  // become a fragment of 500: sigmoid(-0.5).
  NodeScore score = ScoreOn(*scorer, NodeWith(9'000, {600, 1'000}), TaskOf(1'000, 1, 500));
  EXPECT_EQ(score.score, 62);
  EXPECT_EQ(score.device, 0);
  score = ScoreOn(*scorer, NodeWith(9'000, {1'000, 1'000}), TaskOf(1'000, 1, 500));
  EXPECT_EQ(score.score, 37);
  EXPECT_EQ(score.device, 0);
  // Taking the last CPU makes fragments of what devices are left.
  EXPECT_EQ(ScoreOn(*scorer, NodeWith(9'000, {1'000}), TaskOf(9'000, 0)).score, 26);
}

TEST(ScoreTest, RandomIsUniformOverNodesAndDevices) {
  const auto scorer = MakeScorer(ScorePolicy::kRandom, {}, 7);
  EXPECT_FALSE(scorer->IsLocal());
  const NodeState node = NodeWith(9'000, {500, 100, 1'000});
  std::map<int, int> wins;
  std::map<int, int> devices;
  for (int i = 0; i < 3'000; ++i) {
    int best = -1;
    int winner = 0;
    for (int n = 0; n < 3; ++n) {
      const NodeScore score = ScoreOn(*scorer, node, TaskOf(1'000, 1, 300));
      ++devices[score.device];
      if (score.score > best) {
        best = score.score;
        winner = n;
      }
    }
    ++wins[winner];
  }
  for (int n = 0; n < 3; ++n) EXPECT_NEAR(wins[n], 1'000, 120) << n;
  EXPECT_EQ(devices.size(), 2u);
  EXPECT_NEAR(devices[0], 4'500, 300);
}

TEST(ScoreTest, SharesNeedDeviceMemoryToo) {
  NodeState node = NodeWith(9'000, {500, 700});
  for (size_t i = 0; i < 2; ++i) {
    node.spec.devices[i].memory_bytes = 80'000;
    node.devices[i].memory_free = 40'000;
  }
  TaskShape task = TaskOf(1'000, 1, 400);
  task.devices[0].memory_bytes = 30'000;
  node.devices[0].memory_free = 20'000;
  for (ScorePolicy policy : {ScorePolicy::kOneai, ScorePolicy::kFgd, ScorePolicy::kBestFit}) {
    EXPECT_EQ(ScoreOn(*MakeScorer(policy, {{task, 1.0}}), node, task).device, 1)
        << ScorePolicyName(policy);
  }
}

TEST(ScoreTest, PoliciesHaveNames) {
  ASSERT_OK_AND_ASSIGN(const ScorePolicy parsed, ParseScorePolicy("dot_product"));
  EXPECT_EQ(parsed, ScorePolicy::kDotProduct);
  EXPECT_EQ(ScorePolicyName(ScorePolicy::kOneai), "oneai");
  EXPECT_THAT(ParseScorePolicy("bestfit"),
              testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                ::testing::HasSubstr("best_fit, packing")));
}

}  // namespace
}  // namespace oneai::fabric
