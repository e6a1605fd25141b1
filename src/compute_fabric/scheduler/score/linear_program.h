// File: compute_fabric/scheduler/score/linear_program.h
//
// Small dense linear programs: prices of sizes here, max-min shares in throughput.h.
#pragma once

#include <vector>

namespace oneai::fabric {

// maximise objective . x   subject to   rows x <= bounds,  x >= 0.
struct LinearProgram {
  std::vector<double> objective;
  std::vector<std::vector<double>> rows;
  std::vector<double> bounds;  // by row, none negative: x = 0 is a solution
};

struct LinearSolution {
  bool bounded = true;  // false: the objective has no maximum; the rest is empty
  double value = 0;
  std::vector<double> x;
  std::vector<double> prices;  // by row: what one more unit of its bound would add
};

// Primal simplex on a dense tableau (Dantzig's rule; Bland's rule after a run of degenerate steps,
// so that it ends). O(rows * columns) a step: for hundreds of rows, not thousands. Deterministic.
LinearSolution Maximize(const LinearProgram& program);

}  // namespace oneai::fabric
