#include "compute_fabric/scheduler/score/linear_program.h"

#include <cmath>
#include <cstddef>
#include <limits>

namespace oneai::fabric {
namespace {

constexpr double kTolerance = 1e-9;
constexpr int kDegenerateStepsMax = 50;  // then Bland's rule until the objective moves again

// One row a constraint, then the row of reduced costs; one column a variable, a slack a row, then
// the bounds. Rows are contiguous: a step is a few streams over memory.
class Tableau {
 public:
  explicit Tableau(const LinearProgram& program)
      : num_rows_(program.rows.size()),
        num_variables_(program.objective.size()),
        width_(num_variables_ + num_rows_ + 1),
        cells_((num_rows_ + 1) * width_, 0.0),
        basis_(num_rows_) {
    for (size_t i = 0; i < num_rows_; ++i) {
      for (size_t j = 0; j < num_variables_; ++j) At(i, j) = program.rows[i][j];
      At(i, num_variables_ + i) = 1;
      At(i, width_ - 1) = program.bounds[i];
      basis_[i] = num_variables_ + i;
    }
    for (size_t j = 0; j < num_variables_; ++j) At(num_rows_, j) = -program.objective[j];
  }

  // False: unbounded.
  bool Solve() {
    int degenerate_steps = 0;
    while (true) {
      const size_t column = Entering(degenerate_steps >= kDegenerateStepsMax);
      if (column == kNone) return true;
      const size_t row = Leaving(column);
      if (row == kNone) return false;
      degenerate_steps = At(row, width_ - 1) < kTolerance ? degenerate_steps + 1 : 0;
      Pivot(row, column);
    }
  }

  LinearSolution Solution() const {
    LinearSolution solution;
    solution.value = At(num_rows_, width_ - 1);
    solution.x.assign(num_variables_, 0.0);
    for (size_t i = 0; i < num_rows_; ++i) {
      if (basis_[i] < num_variables_) solution.x[basis_[i]] = At(i, width_ - 1);
      solution.prices.push_back(At(num_rows_, num_variables_ + i));
    }
    return solution;
  }

 private:
  static constexpr size_t kNone = static_cast<size_t>(-1);

  double& At(size_t row, size_t column) { return cells_[row * width_ + column]; }
  double At(size_t row, size_t column) const { return cells_[row * width_ + column]; }

  size_t Entering(bool first) const {
    size_t best = kNone;
    double least = -kTolerance;
    for (size_t j = 0; j + 1 < width_; ++j) {
      if (At(num_rows_, j) >= least) continue;
      best = j;
      if (first) break;
      least = At(num_rows_, j);
    }
    return best;
  }

  size_t Leaving(size_t column) const {
    size_t best = kNone;
    double least = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < num_rows_; ++i) {
      if (At(i, column) <= kTolerance) continue;
      const double ratio = At(i, width_ - 1) / At(i, column);
      const bool tie = best != kNone && ratio <= least + 1e-12;
      if (ratio < least - 1e-12 || (tie && basis_[i] < basis_[best])) {
        best = i;
        least = ratio;
      }
    }
    return best;
  }

  void Pivot(size_t row, size_t column) {
    const double pivot = At(row, column);
    for (size_t j = 0; j < width_; ++j) At(row, j) /= pivot;
    for (size_t i = 0; i <= num_rows_; ++i) {
      const double factor = At(i, column);
      if (i == row || factor == 0) continue;
      for (size_t j = 0; j < width_; ++j) At(i, j) -= factor * At(row, j);
      At(i, column) = 0;
    }
    basis_[row] = column;
  }

  size_t num_rows_;
  size_t num_variables_;
  size_t width_;
  std::vector<double> cells_;
  std::vector<size_t> basis_;
};

}  // namespace

LinearSolution Maximize(const LinearProgram& program) {
  Tableau tableau(program);
  if (tableau.Solve()) return tableau.Solution();
  LinearSolution unbounded;
  unbounded.bounded = false;
  return unbounded;
}

}  // namespace oneai::fabric
