#include "compute_fabric/simulator/replay_figures.h"

#include <algorithm>

#include "absl/algorithm/container.h"

namespace oneai::fabric {
namespace {

template <typename T>
T Percentile(const std::vector<T>& sorted, double p) {
  return sorted[std::min(sorted.size() - 1, static_cast<size_t>(sorted.size() * p))];
}

}  // namespace

QueueingFigures SummarizeOutcomes(const std::vector<JobOutcome>& outcomes, int64_t num_devices) {
  QueueingFigures figures;
  if (outcomes.empty()) return figures;
  figures.num_jobs = static_cast<int64_t>(outcomes.size());
  std::vector<int64_t> waits;
  double jct = 0, wait = 0, device_seconds = 0;
  int64_t first = outcomes[0].submitted_s, last = outcomes[0].completed_s;
  for (const JobOutcome& job : outcomes) {
    waits.push_back(job.wait_s());
    jct += static_cast<double>(job.jct_s());
    wait += static_cast<double>(job.wait_s());
    device_seconds += static_cast<double>(job.duration_s) * static_cast<double>(job.num_devices);
    first = std::min(first, job.submitted_s);
    last = std::max(last, job.completed_s);
  }
  absl::c_sort(waits);
  const double n = static_cast<double>(outcomes.size());
  figures.mean_jct_s = jct / n;
  figures.mean_wait_s = wait / n;
  figures.p50_wait_s = Percentile(waits, 0.50);
  figures.p95_wait_s = Percentile(waits, 0.95);
  figures.p99_wait_s = Percentile(waits, 0.99);
  figures.max_wait_s = waits.back();
  figures.makespan_s = last - first;
  if (num_devices > 0 && last > first) {
    figures.utilisation =
        device_seconds / (static_cast<double>(num_devices) * static_cast<double>(last - first));
  }
  return figures;
}

FairnessFigures SummarizeFairness(const std::vector<JobOutcome>& outcomes,
                                  const std::vector<double>& isolated_s) {
  FairnessFigures figures;
  std::vector<double> rho;
  int64_t above = 0;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    if (isolated_s[i] <= 0) continue;
    rho.push_back(static_cast<double>(outcomes[i].jct_s()) / isolated_s[i]);
    // As long as alone is as good as alone: rounding must not count.
    if (rho.back() > 1 + 1e-9) ++above;
  }
  if (rho.empty()) return figures;
  absl::c_sort(rho);
  figures.worst_rho = rho.back();
  figures.p99_rho = Percentile(rho, 0.99);
  figures.share_above_1 = static_cast<double>(above) / static_cast<double>(rho.size());
  return figures;
}

std::vector<double> IsolatedByShare(const std::vector<JobOutcome>& outcomes, int64_t num_devices) {
  std::vector<int64_t> submissions, completions;
  for (const JobOutcome& job : outcomes) {
    submissions.push_back(job.submitted_s);
    completions.push_back(job.completed_s);
  }
  absl::c_sort(submissions);
  absl::c_sort(completions);
  const auto count_until = [](const std::vector<int64_t>& sorted, int64_t time) {
    return std::upper_bound(sorted.begin(), sorted.end(), time) - sorted.begin();
  };
  std::vector<double> isolated;
  for (const JobOutcome& job : outcomes) {
    const int64_t present = std::max<int64_t>(
        1, count_until(submissions, job.submitted_s) - count_until(completions, job.submitted_s));
    const double slowdown = num_devices <= 0 ? 1
                                             : static_cast<double>(job.num_devices) *
                                                   static_cast<double>(present) /
                                                   static_cast<double>(num_devices);
    isolated.push_back(static_cast<double>(job.duration_s) * std::max(1.0, slowdown));
  }
  return isolated;
}

}  // namespace oneai::fabric
