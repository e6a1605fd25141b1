#include "compute_fabric/shim/process_table.h"

#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

using ::testing::UnorderedElementsAre;

TEST(ProcessTableTest, ParsesNamesWithSpacesAndParentheses) {
  const auto stat =
      ParseProcessStat("42 (a (b) c) S 7 42 40 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 123456 0 0\n");
  ASSERT_TRUE(stat.has_value());
  EXPECT_EQ(stat->pid, 42);
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->parent, 7);
  EXPECT_EQ(stat->group, 42);
  EXPECT_EQ(stat->session, 40);
  EXPECT_EQ(stat->start_time, 123456u);
}

TEST(ProcessTableTest, RefusesMalformedLines) {
  for (const char* text : {"", "42", "42 (x", "42 (x) S", "x (y) S 1 2 3", ") ("}) {
    EXPECT_FALSE(ParseProcessStat(text).has_value()) << text;
  }
}

TEST(ProcessTableTest, ReadsThisProcess) {
  const auto stat = ReadProcessStat(getpid());
  ASSERT_TRUE(stat.has_value());
  EXPECT_EQ(stat->parent, getppid());
  EXPECT_GT(stat->start_time, 0u);
}

TEST(ProcessTableTest, DescendantsAreFoundThroughAllGenerations) {
  const std::vector<ProcessStat> table = {{.pid = 2, .parent = 1},
                                          {.pid = 3, .parent = 2},
                                          {.pid = 4, .parent = 3},
                                          {.pid = 5, .parent = 1},
                                          {.pid = 6, .parent = 2}};
  EXPECT_THAT(DescendantsOf(2, table), UnorderedElementsAre(3, 4, 6));
  EXPECT_TRUE(DescendantsOf(5, table).empty());
}

TEST(ProcessTableTest, ATableWithACycleEnds) {
  const std::vector<ProcessStat> table = {{.pid = 2, .parent = 3}, {.pid = 3, .parent = 2}};
  EXPECT_THAT(DescendantsOf(2, table), UnorderedElementsAre(3));
}

}  // namespace
}  // namespace oneai::fabric
