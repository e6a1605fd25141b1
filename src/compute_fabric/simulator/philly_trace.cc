#include "compute_fabric/simulator/philly_trace.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status.h"

namespace oneai::fabric {
namespace {

// Sums over a trace of some 10^5 jobs stay far from overflow: 30 years and a million devices.
constexpr int64_t kSecondsMax = 1'000'000'000;
constexpr int64_t kGpusMax = 1'000'000;

}  // namespace

absl::StatusOr<std::vector<PhillyJob>> ReadPhillyTrace(const CsvTable& table) {
  ASSIGN_OR_RETURN(const int submit_time, table.Column("submit_time"));
  ASSIGN_OR_RETURN(const int duration_s, table.Column("duration_s"));
  ASSIGN_OR_RETURN(const int num_gpus, table.Column("num_gpus"));
  ASSIGN_OR_RETURN(const int virtual_cluster, table.Column("virtual_cluster"));
  std::vector<PhillyJob> jobs;
  for (int64_t row = 0; row < table.num_rows(); ++row) {
    PhillyJob job{.tenant = table.Text(row, virtual_cluster)};
    absl::Time submit;
    std::string error;
    if (!absl::ParseTime("%Y-%m-%d %H:%M:%S", table.Text(row, submit_time), &submit, &error)) {
      return table.FieldError(row, submit_time, error);
    }
    job.submit_s = absl::ToUnixSeconds(submit);
    ASSIGN_OR_RETURN(job.duration_s, table.Integer(row, duration_s, 0, kSecondsMax));
    job.duration_s = std::max<int64_t>(1, job.duration_s);
    ASSIGN_OR_RETURN(const int64_t gpus, table.Integer(row, num_gpus, 1, kGpusMax));
    job.num_gpus = static_cast<int>(gpus);
    jobs.push_back(std::move(job));
  }
  absl::c_stable_sort(
      jobs, [](const PhillyJob& a, const PhillyJob& b) { return a.submit_s < b.submit_s; });
  return jobs;
}

}  // namespace oneai::fabric
