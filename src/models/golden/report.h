// File: models/golden/report.h
//
// What a run of a fixture found: per check the largest deviation in units of the tolerance.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace oneai::models::golden {

// One kind of check, over all tensors it was made on.
struct Check {
  std::string name;      // "cpu logits"
  double deviation = 0;  // largest, in units of the tolerance: at most 1 passes
  std::string worst;     // the tensor that deviates most
  int64_t num_tensors = 0;
  std::string detail;  // of the worst, in words; may be empty
};

class Report {
 public:
  // Notes one comparison; a NaN deviation counts as infinite.
  void Add(absl::string_view check, absl::string_view tensor, double deviation,
           std::string detail = "");
  // Notes a part of the fixture that was not looked at; it does not count as a check.
  void LeaveOut(absl::string_view part) { left_out_.emplace_back(part); }
  const std::vector<Check>& checks() const { return checks_; }
  // True when there is at least one check and none deviates by more than its tolerance.
  bool Passed() const;
  // One line per check and one for what was left out.
  std::string ToText() const;

 private:
  std::vector<Check> checks_;  // in order of first appearance
  std::vector<std::string> left_out_;
};

// max |x - golden| / (tolerance * std(golden)), with the largest magnitude in place of a std of
// zero. Infinite when the sizes differ or a value is not finite.
double DeviationInTolerances(absl::Span<const float> x, absl::Span<const float> golden,
                             double tolerance);

// |x - golden| / (tolerance * |golden|).
double RelativeDeviation(double x, double golden, double tolerance);

}  // namespace oneai::models::golden
