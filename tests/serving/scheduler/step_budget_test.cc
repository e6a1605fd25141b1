#include "serving/scheduler/step_budget.h"

#include "gtest/gtest.h"

namespace oneai::serving {
namespace {

TEST(StepBudgetTest, EverythingIsAllowedAsLongAsNothingIsKnown) {
  StepBudget budget;
  EXPECT_EQ(budget.TokensWithin(absl::Milliseconds(1), 512), 512);
  budget.RecordStep(StepBudget::kTokensToLearnFrom - 1, absl::Seconds(10));
  EXPECT_EQ(budget.TokensWithin(absl::Milliseconds(1), 512), 512);
}

TEST(StepBudgetTest, FollowsWhatTokensTake) {
  StepBudget budget;
  budget.RecordStep(500, absl::Milliseconds(500));
  EXPECT_EQ(budget.TokensWithin(absl::Milliseconds(150), 512), 150);
  EXPECT_EQ(budget.TokensWithin(absl::Seconds(5), 512), 512);
  EXPECT_EQ(budget.TokensWithin(absl::InfiniteDuration(), 512), 512);
  for (int i = 0; i < 100; ++i) budget.RecordStep(200, absl::Milliseconds(400));
  EXPECT_EQ(budget.TokensWithin(absl::Milliseconds(150), 512), 75);
}

TEST(StepBudgetTest, APromptComesToItsEndHoweverSlowTheModel) {
  StepBudget budget;
  budget.RecordStep(100, absl::Seconds(1000));
  EXPECT_EQ(budget.TokensWithin(absl::Milliseconds(150), 512), StepBudget::kPromptTokensMin);
  EXPECT_EQ(budget.TokensWithin(absl::Milliseconds(150), 8), 8);
}

}  // namespace
}  // namespace oneai::serving
