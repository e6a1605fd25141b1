#include "serving/engine/step_cost.h"

#include <random>

#include "gtest/gtest.h"

namespace oneai::serving {
namespace {

TEST(StepCostTest, KnowsNothingAtFirst) {
  const StepCost cost(0.1);
  EXPECT_DOUBLE_EQ(cost.row_cost(), 0.1);
  EXPECT_DOUBLE_EQ(cost.DraftCost(1), 0.1);
  EXPECT_DOUBLE_EQ(cost.DraftCost(4), 0.4 / 1.3);
}

// Steps of one row say how long a step is, not what another row costs.
TEST(StepCostTest, KeepsTheAssumedSlopeWhileRowsDoNotDiffer) {
  StepCost cost(0.1);
  for (int i = 0; i < 300; ++i) cost.RecordStep(1, absl::Milliseconds(20));
  EXPECT_NEAR(cost.row_cost(), 0.1, 1e-3);
}

TEST(StepCostTest, LearnsTheLineThroughNoise) {
  for (const double share : {0.01, 0.2, 0.7}) {
    StepCost cost(0.1);
    std::mt19937 random(7);
    std::normal_distribution<double> noise(1, 0.05);
    for (int i = 0; i < 500; ++i) {
      const int64_t rows = 1 + static_cast<int64_t>(random() % 7);
      const double ms = 20 * (1 - share + share * static_cast<double>(rows)) * noise(random);
      cost.RecordStep(rows, absl::Milliseconds(ms));
    }
    EXPECT_NEAR(cost.row_cost(), share, 0.04) << share;
  }
}

TEST(StepCostTest, OneLongWaitDecidesNothing) {
  StepCost cost(0.1);
  for (int i = 0; i < 400; ++i) cost.RecordStep(1 + i % 4, absl::Milliseconds(10 + (1 + i % 4)));
  const double before = cost.row_cost();
  cost.RecordStep(4, absl::Seconds(100));
  EXPECT_LT(cost.row_cost(), before + 0.1);
}

TEST(StepCostTest, CountsTheTimeThatGuessingTakes) {
  StepCost cost(0.1);
  for (int i = 0; i < 300; ++i) {
    cost.RecordStep(1, absl::Milliseconds(20));
    cost.RecordGuesses(3, absl::Milliseconds(12));
  }
  EXPECT_NEAR(cost.DraftCost(1), 0.1 + 4.0 / 20, 0.01);
  EXPECT_LT(cost.DraftCost(8) - 0.8 / 1.7, 0.2);  // the longer step bears it better
}

TEST(StepCostTest, IsAlwaysAShare) {
  StepCost cost(0.5);
  std::mt19937 random(3);
  for (int i = 0; i < 1000; ++i) {
    cost.RecordStep(1 + static_cast<int64_t>(random() % 64), absl::Microseconds(random() % 9));
    ASSERT_GE(cost.row_cost(), 0.001);
    ASSERT_LE(cost.row_cost(), 1);
    ASSERT_GE(cost.DraftCost(1 + static_cast<int64_t>(random() % 9)), 0);
  }
}

}  // namespace
}  // namespace oneai::serving
