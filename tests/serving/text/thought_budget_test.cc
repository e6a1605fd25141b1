#include "serving/text/thought_budget.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace oneai::serving {
namespace {

ThoughtLimit Limit(int64_t tokens_max, bool are_opened) {
  return {.tokens_max = tokens_max, .are_opened = are_opened, .closing = {7, 8}};
}

// How many of `tokens` come before one is forced; -1: none ever is.
int NumBeforeForced(const ThoughtLimit& limit, const std::vector<std::string>& tokens) {
  ThoughtBudget budget(limit);
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (budget.Forced().has_value()) return static_cast<int>(i);
    budget.Push(tokens[i]);
  }
  return budget.Forced().has_value() ? static_cast<int>(tokens.size()) : -1;
}

TEST(ThoughtBudgetTest, CountsTokensBetweenTheTags) {
  EXPECT_EQ(NumBeforeForced(Limit(0, true), {"a"}), 0);
  EXPECT_EQ(NumBeforeForced(Limit(2, true), {"a", "b", "c"}), 2);
  EXPECT_EQ(NumBeforeForced(Limit(2, true), {"a", "</think>", "c", "d", "e"}), -1);
  EXPECT_EQ(NumBeforeForced(Limit(3, true), {"a<", "/thi", "nk>", "d", "e"}), -1);
  EXPECT_EQ(NumBeforeForced(Limit(2, false), {"\n", "<th", "ink>", "a", "b", "c"}), 5);
  EXPECT_EQ(NumBeforeForced(Limit(0, false), {"<think>", "a"}), 1);
  EXPECT_EQ(NumBeforeForced(Limit(0, false), {"no", "<think>", "a"}), -1);
  EXPECT_EQ(NumBeforeForced(Limit(-1, true), {"a", "b"}), -1);
}

TEST(ThoughtBudgetTest, NeverCutsACharacter) {
  EXPECT_EQ(NumBeforeForced(Limit(1, true), {"\xE6\x97", "\xA5", "b"}), 2);
  EXPECT_EQ(NumBeforeForced(Limit(1, true), {"\xE6\x97\xA5", "b"}), 1);
}

TEST(ThoughtBudgetTest, ForcesTheClosingTokensOnce) {
  const ThoughtLimit limit = Limit(1, true);
  ThoughtBudget budget(limit);
  budget.Push("a");
  EXPECT_EQ(budget.Forced(), 7);
  budget.Push("\n");
  EXPECT_EQ(budget.Forced(), 8);
  budget.Push("</think>");
  EXPECT_EQ(budget.Forced(), std::nullopt);
  budget.Push("<think>");
  budget.Push("b");
  EXPECT_EQ(budget.Forced(), std::nullopt);
}

}  // namespace
}  // namespace oneai::serving
