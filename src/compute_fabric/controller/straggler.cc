#include "compute_fabric/controller/straggler.h"

#include <algorithm>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace oneai::fabric {
namespace {

constexpr const char* kMetrics[] = {"compute_seconds", "step_seconds"};

double MedianOf(std::vector<double> values) {
  const auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The last steps that every rank has, newest first.
std::vector<int64_t> CommonSteps(const StepTimes& times, int limit) {
  std::vector<int64_t> steps;
  const auto& first = times.begin()->second;
  for (auto step = first.rbegin(); step != first.rend() && std::ssize(steps) < limit; ++step) {
    const bool common = std::all_of(times.begin(), times.end(), [&](const auto& rank) {
      return rank.second.contains(step->first);
    });
    if (common) steps.push_back(step->first);
  }
  return steps;
}

}  // namespace

std::vector<Straggler> FindStragglers(const StepTimes& times, const StragglerPolicy& policy) {
  std::vector<Straggler> stragglers;
  if (std::ssize(times) < policy.num_ranks_min) return stragglers;
  const std::vector<int64_t> steps = CommonSteps(times, policy.num_steps);
  if (std::ssize(steps) < policy.num_steps) return stragglers;
  std::map<int64_t, double> medians;
  for (int64_t step : steps) {
    std::vector<double> values;
    for (const auto& [rank, of_rank] : times) values.push_back(of_rank.at(step));
    medians[step] = MedianOf(std::move(values));
  }
  for (const auto& [rank, of_rank] : times) {
    std::vector<double> factors;
    for (int64_t step : steps) {
      if (medians[step] > 0) factors.push_back(of_rank.at(step) / medians[step]);
    }
    if (factors.size() < steps.size()) continue;
    if (*std::min_element(factors.begin(), factors.end()) <= policy.factor) continue;
    stragglers.push_back({rank, MedianOf(std::move(factors))});
  }
  std::stable_sort(stragglers.begin(), stragglers.end(),
                   [](const Straggler& a, const Straggler& b) { return a.factor > b.factor; });
  return stragglers;
}

StepTimes StepTimesOf(const v1::MetricSeriesList& metrics, int attempt) {
  for (const char* wanted : kMetrics) {
    StepTimes times;
    for (const v1::MetricSeries& series : metrics.series()) {
      // "compute_seconds" is rank 0's, "compute_seconds/rank3" rank 3's (joblog/metric_store.h).
      const std::pair<absl::string_view, absl::string_view> parts =
          absl::StrSplit(series.name(), absl::MaxSplits('/', 1));
      int rank = 0;
      if (parts.first != wanted ||
          (!parts.second.empty() &&
           !absl::SimpleAtoi(absl::StripPrefix(parts.second, "rank"), &rank))) {
        continue;
      }
      for (const v1::MetricPoint& point : series.points()) {
        if (point.attempt() == attempt) times[rank][point.step()] = point.value();
      }
    }
    if (!times.empty()) return times;
  }
  return {};
}

}  // namespace oneai::fabric
