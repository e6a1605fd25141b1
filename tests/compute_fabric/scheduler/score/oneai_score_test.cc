// Our own policy: what it adds to FGD, rule by rule.
#include <gtest/gtest.h>

#include "compute_fabric/scheduler/score/share_prices.h"
#include "tests/compute_fabric/scheduler/score/score_nodes.h"

namespace oneai::fabric {
namespace {

TEST(SharePricesTest, PricesAreWhatPartnersLeave) {
  const SharePrices lonely({{810, 1.0}});
  EXPECT_NEAR(lonely.Regret(1'000, 810), 0, 1e-9);
  EXPECT_NEAR(lonely.Worth(809), 0, 1e-9);

  const SharePrices halves({{470, 1.0}});
  EXPECT_NEAR(halves.Worth(470), 0.5, 1e-9);
  EXPECT_NEAR(halves.Regret(1'000, 470), 0, 1e-9);
  EXPECT_NEAR(halves.Regret(530, 470), 0, 1e-9);

  // 650 goes with 320 and not with itself; a 320 with 680 left is where a 650 could go.
  const SharePrices pairs({{650, 1.0}, {320, 1.0}});
  EXPECT_NEAR(pairs.Worth(650) + pairs.Worth(320), 1, 1e-9);
  EXPECT_NEAR(pairs.Regret(350, 320), 0, 1e-9);
}

TEST(SharePricesTest, NoSetThatFitsIsWorthMoreThanADevice) {
  const std::map<int32_t, double> demand = {{810, 1'078}, {650, 253}, {590, 75}, {550, 72},
                                            {470, 750},   {460, 128}, {370, 47}, {320, 328},
                                            {230, 140},   {220, 62},  {160, 74}, {110, 24}};
  const SharePrices prices(demand);
  for (const auto& [a, ignored_a] : demand) {
    for (const auto& [b, ignored_b] : demand) {
      EXPECT_GE(prices.Regret(1'000, a), -1e-6);
      if (a + b > 1'000) continue;
      EXPECT_GE(prices.Regret(1'000 - a, b), -1e-6) << a << " and " << b;
    }
  }
}

TEST(SharePricesTest, UnknownSharesArePricedAsWhatTheyDisplace) {
  const SharePrices prices({{500, 1.0}});
  EXPECT_NEAR(prices.Regret(500, 400), 0.5, 1e-9);    // a half could have been there
  EXPECT_NEAR(prices.Regret(499, 400), 0, 1e-9);      // nothing else could
  EXPECT_NEAR(prices.Regret(1'000, 600), 0.5, 1e-9);  // counts as the half that it holds
  EXPECT_NEAR(SharePrices({}).Regret(1'000, 300), 0, 1e-9);
}

TEST(OneaiScoreTest, SharesCompleteDevices) {
  const std::vector<TypicalTask> typical = {
      {TaskOf(1'000, 1, 470), 0.5}, {TaskOf(1'000, 1, 650), 0.25}, {TaskOf(1'000, 1, 320), 0.25}};
  const auto scorer = MakeScorer(ScorePolicy::kOneai, typical);
  // Both have room for a 320; only beside a 650 is it at its place.
  const TaskShape task = TaskOf(1'000, 1, 320);
  EXPECT_EQ(ScoreOn(*scorer, NodeWith(90'000, {530, 350}), task).device, 1);
  EXPECT_GT(ScoreOn(*scorer, NodeWith(90'000, {350}), task).score,
            ScoreOn(*scorer, NodeWith(90'000, {530}), task).score);
  EXPECT_TRUE(scorer->IsLocal());
}

TEST(OneaiScoreTest, KeepsCpuForIdleDevices) {
  const auto scorer = MakeScorer(ScorePolicy::kOneai, {{TaskOf(10'000, 1), 1.0}});
  // The same rest of CPU: enough for what is idle on one node, not on the other.
  const TaskShape task = TaskOf(20'000, 0);
  EXPECT_GT(ScoreOn(*scorer, NodeWith(40'000, {1'000, 0, 0, 0}), task).score,
            ScoreOn(*scorer, NodeWith(40'000, {1'000, 1'000, 1'000, 1'000}), task).score);
}

TEST(OneaiScoreTest, KindsInLowDemandAreNotFragments) {
  const auto scorer = MakeScorer(ScorePolicy::kOneai, {{TaskOf(1'000, 1, 1'000, {"a", "b"}), 0.9},
                                                       {TaskOf(1'000, 1, 1'000, {"a"}), 0.1}});
  const TaskShape task = TaskOf(1'000, 1, 1'000, {"a", "b"});
  const NodeScore on_a = scorer->Score(NodeWith(9'000, {1'000}, "a"), task, &task.devices[0]);
  const NodeScore on_b = scorer->Score(NodeWith(9'000, {1'000}, "b"), task, &task.devices[1]);
  EXPECT_EQ(on_a.score, on_b.score);
}

TEST(OneaiScoreTest, ScoresAreWithinBoundsOnAnyNode) {
  const std::vector<TypicalTask> typical = {{TaskOf(4'000, 1, 470), 0.5}, {TaskOf(8'000, 8), 0.5}};
  for (ScorePolicy policy :
       {ScorePolicy::kOneai, ScorePolicy::kFgd, ScorePolicy::kBestFit, ScorePolicy::kPacking,
        ScorePolicy::kClustering, ScorePolicy::kDotProduct}) {
    for (const std::vector<TypicalTask>& demand : {typical, std::vector<TypicalTask>{}}) {
      const auto scorer = MakeScorer(policy, demand);
      const NodeState big = NodeWith(900'000, std::vector<int32_t>(32, 1'000));
      for (const TaskShape& task : {TaskOf(1, 1, 1), TaskOf(800'000, 32), TaskOf(900'000, 0)}) {
        const NodeScore score = ScoreOn(*scorer, big, task);
        EXPECT_GE(score.score, 0);
        EXPECT_LE(score.score, kScoreMax);
      }
    }
  }
}

}  // namespace
}  // namespace oneai::fabric
