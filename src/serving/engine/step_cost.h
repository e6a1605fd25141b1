// File: serving/engine/step_cost.h
//
// What a guess costs on this machine with this model, learnt from the steps themselves: a step of
// `rows` tokens takes about a + b * rows seconds, and making one guess further for all its
// sequences g seconds. Nothing but the number of guesses depends on it, and answers do not depend
// on that.
#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace oneai::serving {

// Thread-compatible.
class StepCost {
 public:
  // `row_cost` is b / (a + b), as long as nothing else is known.
  explicit StepCost(double row_cost) : row_cost_at_first_(row_cost) {}

  // A step of decodes took `time`.
  void RecordStep(int64_t num_rows, absl::Duration time);
  // Making `num_rounds` guesses further, at least one, for all sequences of a step took `time`.
  void RecordGuesses(int64_t num_rounds, absl::Duration time);

  // b / (a + b), from 0.001 to 1.
  double row_cost() const;
  // What one guess more for each of `num_sequences` sequences costs, as a share of the step that
  // computes one token of each.
  double DraftCost(int64_t num_sequences) const;

 private:
  struct Line {
    double at_zero, slope;
  };
  Line Fit() const;

  const double row_cost_at_first_;
  // Moving averages over steps, of rows x and seconds y; weight_ grows to 1.
  double weight_ = 0, x_ = 0, y_ = 0, xx_ = 0, xy_ = 0;
  double guess_s_ = 0;
};

}  // namespace oneai::serving
