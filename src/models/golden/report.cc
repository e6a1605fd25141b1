#include "models/golden/report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace oneai::models::golden {

void Report::Add(absl::string_view check, absl::string_view tensor, double deviation,
                 std::string detail) {
  auto entry = std::ranges::find(checks_, check, &Check::name);
  if (entry == checks_.end()) {
    checks_.push_back({.name = std::string(check), .deviation = -1});
    entry = checks_.end() - 1;
  }
  if (std::isnan(deviation)) deviation = std::numeric_limits<double>::infinity();
  ++entry->num_tensors;
  if (deviation > entry->deviation) {
    entry->deviation = deviation;
    entry->worst = std::string(tensor);
    entry->detail = std::move(detail);
  }
}

bool Report::Passed() const {
  return !checks_.empty() &&
         std::ranges::all_of(checks_, [](const Check& c) { return c.deviation <= 1.0; });
}

std::string Report::ToText() const {
  std::string text;
  for (const Check& c : checks_) {
    absl::StrAppendFormat(&text, "  %-4s %-27s %10.4g  of %d, worst %s%s%s\n",
                          c.deviation <= 1.0 ? "ok" : "FAIL", c.name, c.deviation, c.num_tensors,
                          c.worst, c.detail.empty() ? "" : ": ", c.detail);
  }
  if (!left_out_.empty())
    absl::StrAppend(&text, "  not checked: ", absl::StrJoin(left_out_, ", "), "\n");
  return text;
}

double DeviationInTolerances(absl::Span<const float> x, absl::Span<const float> golden,
                             double tolerance) {
  if (x.size() != golden.size() || golden.empty()) return std::numeric_limits<double>::infinity();
  double sum = 0, sum_squares = 0, magnitude = 0, worst = 0;
  for (size_t i = 0; i < golden.size(); ++i) {
    const double g = golden[i], difference = std::abs(x[i] - g);
    if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
    sum += g;
    sum_squares += g * g;
    magnitude = std::max(magnitude, std::abs(g));
    worst = std::max(worst, difference);
  }
  if (worst == 0) return 0;
  const double n = static_cast<double>(golden.size()), mean = sum / n;
  const double deviation = std::sqrt(std::max(sum_squares / n - mean * mean, 0.0));
  return worst / (tolerance * (deviation > 0 ? deviation : magnitude));
}

double RelativeDeviation(double x, double golden, double tolerance) {
  return x == golden ? 0 : std::abs(x - golden) / (tolerance * std::abs(golden));
}

}  // namespace oneai::models::golden
