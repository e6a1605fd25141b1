#include "compute_fabric/scheduler/score/linear_program.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace oneai::fabric {
namespace {

TEST(LinearProgramTest, SolvesATextbookProgram) {
  const LinearSolution s = Maximize({{3, 5}, {{1, 0}, {0, 2}, {3, 2}}, {4, 12, 18}});
  EXPECT_TRUE(s.bounded);
  EXPECT_NEAR(s.value, 36, 1e-9);
  EXPECT_NEAR(s.x[0], 2, 1e-9);
  EXPECT_NEAR(s.x[1], 6, 1e-9);
  EXPECT_NEAR(s.prices[0], 0, 1e-9);
  EXPECT_NEAR(s.prices[1], 1.5, 1e-9);
  EXPECT_NEAR(s.prices[2], 1, 1e-9);
}

TEST(LinearProgramTest, SaysWhenThereIsNoMaximum) {
  EXPECT_FALSE(Maximize({{1, 1}, {{1, -1}}, {1}}).bounded);
}

TEST(LinearProgramTest, EndsOnDegeneratePrograms) {
  // Beale's example, on which the plain rule goes round in circles.
  const LinearSolution s = Maximize({{0.75, -150, 0.02, -6},
                                     {{0.25, -60, -0.04, 9}, {0.5, -90, -0.02, 3}, {0, 0, 1, 0}},
                                     {0, 0, 1}});
  EXPECT_TRUE(s.bounded);
  EXPECT_NEAR(s.value, 0.05, 1e-9);
}

// At the optimum the prices form a solution of the dual with the same value: a proof by itself.
TEST(LinearProgramTest, PricesProveOptimality) {
  std::mt19937_64 bits(3);
  std::uniform_real_distribution<double> number(0, 1);
  for (int round = 0; round < 200; ++round) {
    LinearProgram program;
    const size_t num_rows = 1 + bits() % 12;
    const size_t num_variables = 1 + bits() % 12;
    for (size_t j = 0; j < num_variables; ++j) program.objective.push_back(number(bits) - 0.2);
    for (size_t i = 0; i < num_rows; ++i) {
      program.rows.emplace_back();
      for (size_t j = 0; j < num_variables; ++j) program.rows[i].push_back(number(bits));
      program.bounds.push_back(bits() % 4 == 0 ? 0 : number(bits));
    }
    const LinearSolution s = Maximize(program);
    ASSERT_TRUE(s.bounded);
    double dual = 0;
    for (size_t i = 0; i < num_rows; ++i) {
      double used = 0;
      for (size_t j = 0; j < num_variables; ++j) used += program.rows[i][j] * s.x[j];
      EXPECT_LE(used, program.bounds[i] + 1e-7);
      EXPECT_GE(s.prices[i], -1e-7);
      dual += s.prices[i] * program.bounds[i];
    }
    for (size_t j = 0; j < num_variables; ++j) {
      double cost = 0;
      for (size_t i = 0; i < num_rows; ++i) cost += s.prices[i] * program.rows[i][j];
      EXPECT_GE(cost, program.objective[j] - 1e-7);
      EXPECT_GE(s.x[j], -1e-7);
    }
    EXPECT_NEAR(dual, s.value, 1e-6);
  }
}

}  // namespace
}  // namespace oneai::fabric
