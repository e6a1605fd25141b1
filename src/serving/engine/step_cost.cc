#include "serving/engine/step_cost.h"

#include <algorithm>

namespace oneai::serving {
namespace {

constexpr double kMemory = 0.98;         // weight of the past at each step
constexpr double kSurpriseMax = 4;       // a measurement counts for at most so many times the mean
constexpr double kPriorVariance = 0.25;  // of rows, at which measured and assumed slope weigh alike
constexpr double kRowCostMin = 0.001;

}  // namespace

void StepCost::RecordStep(int64_t num_rows, absl::Duration time) {
  double y = absl::ToDoubleSeconds(time);
  const double x = static_cast<double>(num_rows);
  // The machine has other work, too: one long wait must not decide.
  if (weight_ > 0) {
    const Line line = Fit();
    y = std::min(y, kSurpriseMax * (line.at_zero + line.slope * x));
  }
  const auto blend = [](double& average, double value) {
    average = kMemory * average + (1 - kMemory) * value;
  };
  blend(weight_, 1);
  blend(x_, x);
  blend(y_, y);
  blend(xx_, x * x);
  blend(xy_, x * y);
}

void StepCost::RecordGuesses(int64_t num_rounds, absl::Duration time) {
  const double seconds = absl::ToDoubleSeconds(time) / static_cast<double>(num_rounds);
  if (guess_s_ == 0) {
    guess_s_ = seconds;
    return;
  }
  guess_s_ += (1 - kMemory) * (std::min(seconds, kSurpriseMax * guess_s_) - guess_s_);
}

// A least-squares line through the recent steps. While they all had the same number of rows they
// say nothing of the slope, and the assumed one stands.
StepCost::Line StepCost::Fit() const {
  const double x = x_ / weight_, y = y_ / weight_;
  const double variance = std::max(0.0, xx_ / weight_ - x * x);
  const double covariance = xy_ / weight_ - x * y;
  const double assumed = row_cost_at_first_ * y / (1 + row_cost_at_first_ * (x - 1));
  const double slope = (covariance + kPriorVariance * assumed) / (variance + kPriorVariance);
  // A step without rows takes no less than no time.
  const double bounded = std::clamp(slope, 0.0, y / std::max(x, 1.0));
  return {y - bounded * x, bounded};
}

double StepCost::row_cost() const {
  if (weight_ == 0) return row_cost_at_first_;
  const Line line = Fit();
  const double one = line.at_zero + line.slope;
  return one > 0 ? std::clamp(line.slope / one, kRowCostMin, 1.0) : row_cost_at_first_;
}

double StepCost::DraftCost(int64_t num_sequences) const {
  const double num = static_cast<double>(std::max<int64_t>(num_sequences, 1));
  const double share = row_cost();
  const double of_rows = share * num / (1 + share * (num - 1));
  if (weight_ == 0) return of_rows;
  const Line line = Fit();
  const double step_s = line.at_zero + line.slope * num;
  return step_s > 0 ? of_rows + guess_s_ / step_s : of_rows;
}

}  // namespace oneai::serving
