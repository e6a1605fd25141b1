#include "compute_fabric/simulator/gavel_trace.h"

#include <algorithm>
#include <cstdlib>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compute_fabric/simulator/csv_table.h"

namespace oneai::fabric {
namespace {

constexpr int64_t kGpusMax = 100'000;
constexpr double kStepsMax = 1e15;
constexpr double kSecondsMax = 1e10;

// The measurement of the type with the number of GPUs nearest to `num_gpus`; null: none.
const std::pair<const std::pair<std::string, int64_t>, std::vector<double>>* Nearest(
    const GavelThroughputs& throughputs, const std::string& type, int64_t num_gpus) {
  const std::pair<const std::pair<std::string, int64_t>, std::vector<double>>* nearest = nullptr;
  for (const auto& entry : throughputs.by_type_and_gpus) {
    if (entry.first.first != type) continue;
    if (nearest == nullptr ||
        std::llabs(entry.first.second - num_gpus) < std::llabs(nearest->first.second - num_gpus)) {
      nearest = &entry;
    }
  }
  return nearest;
}

}  // namespace

absl::StatusOr<GavelThroughputs> ReadGavelThroughputs(const std::string& path) {
  ASSIGN_OR_RETURN(const CsvTable table, CsvTable::Read(path));
  ASSIGN_OR_RETURN(const int accelerator, table.Column("accelerator"));
  ASSIGN_OR_RETURN(const int consolidated, table.Column("consolidated"));
  ASSIGN_OR_RETURN(const int job_type, table.Column("job_type"));
  ASSIGN_OR_RETURN(const int num_gpus, table.Column("num_gpus"));
  ASSIGN_OR_RETURN(const int steps, table.Column("steps_per_s"));
  GavelThroughputs throughputs;
  std::set<std::string> kinds;
  for (int64_t row = 0; row < table.num_rows(); ++row) kinds.insert(table.Text(row, accelerator));
  throughputs.kinds.assign(kinds.begin(), kinds.end());
  for (int64_t row = 0; row < table.num_rows(); ++row) {
    ASSIGN_OR_RETURN(const int64_t is_consolidated, table.Integer(row, consolidated, 0, 1));
    ASSIGN_OR_RETURN(const int64_t gpus, table.Integer(row, num_gpus, 1, kGpusMax));
    ASSIGN_OR_RETURN(const double rate, table.Number(row, steps, 0, kStepsMax));
    if (is_consolidated == 0) continue;
    std::vector<double>& by_kind = throughputs.by_type_and_gpus[{table.Text(row, job_type), gpus}];
    by_kind.resize(throughputs.kinds.size(), 0.0);
    const auto kind = std::lower_bound(throughputs.kinds.begin(), throughputs.kinds.end(),
                                       table.Text(row, accelerator));
    by_kind[static_cast<size_t>(kind - throughputs.kinds.begin())] = rate;
  }
  if (throughputs.by_type_and_gpus.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": no row with consolidated = 1"));
  }
  return throughputs;
}

absl::StatusOr<GavelTrace> ReadGavelTrace(const std::string& path,
                                          const GavelThroughputs& throughputs,
                                          MissingThroughput missing) {
  ASSIGN_OR_RETURN(const CsvTable table, CsvTable::Read(path));
  ASSIGN_OR_RETURN(const int id, table.Column("job_id"));
  ASSIGN_OR_RETURN(const int job_type, table.Column("job_type"));
  ASSIGN_OR_RETURN(const int num_gpus, table.Column("num_gpus"));
  ASSIGN_OR_RETURN(const int steps, table.Column("total_steps"));
  ASSIGN_OR_RETURN(const int arrival, table.Column("arrival_s"));
  GavelTrace trace;
  trace.num_rows = table.num_rows();
  for (int64_t row = 0; row < table.num_rows(); ++row) {
    GavelJob job;
    ASSIGN_OR_RETURN(job.id, table.Integer(row, id, 0, INT64_MAX));
    ASSIGN_OR_RETURN(job.num_gpus, table.Integer(row, num_gpus, 1, kGpusMax));
    ASSIGN_OR_RETURN(job.total_steps, table.Number(row, steps, 1, kStepsMax));
    ASSIGN_OR_RETURN(job.arrival_s, table.Number(row, arrival, 0, kSecondsMax));
    const std::string& type = table.Text(row, job_type);
    const auto* nearest = Nearest(throughputs, type, job.num_gpus);
    if (nearest == nullptr) {
      return table.FieldError(row, job_type, "no throughput has been measured for this type");
    }
    job.throughput = nearest->second;
    if (nearest->first.second != job.num_gpus) {
      ++trace.missing[absl::StrCat(type, " x", job.num_gpus)];
      if (missing == MissingThroughput::kDrop) continue;
      const double factor =
          static_cast<double>(job.num_gpus) / static_cast<double>(nearest->first.second);
      for (double& rate : job.throughput) rate *= factor;
    }
    trace.jobs.push_back(std::move(job));
  }
  std::stable_sort(trace.jobs.begin(), trace.jobs.end(),
                   [](const GavelJob& a, const GavelJob& b) { return a.arrival_s < b.arrival_s; });
  if (trace.jobs.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": no job with measured throughput"));
  }
  return trace;
}

}  // namespace oneai::fabric
