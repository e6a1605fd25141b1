// File: compute_fabric/joblog/metric_store.h
//
// Scalars of jobs in memory, by series and step; rebuilt from the metric files (log_store.h) when
// first asked for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "compute_fabric/joblog/log_store.h"
#include "compute_fabric/joblog/metric_lines.h"
#include "oneai/fabric/v1/job.pb.h"

namespace oneai::fabric {

// Thread-safe. `logs` must outlive it.
//
// Bounds: kSeriesMax series a job, kPointsMax points a series (beyond: the older half is thinned to
// every second point), and the jobs touched least recently are dropped from memory beyond kJobsMax;
// their files stay.
class MetricStore {
 public:
  static constexpr size_t kSeriesMax = 256;
  static constexpr size_t kPointsMax = 4096;
  static constexpr size_t kJobsMax = 256;

  explicit MetricStore(const LogStore* logs) : logs_(logs) {}

  // Takes what has been appended to `name` up to now; returns the events of the lines that end
  // behind `events_from`, so that what an earlier process has told is not told again. Lines of rank
  // 0 become series named by their key, those of other ranks "key/rank1".
  std::vector<ReportedEvent> Ingest(const LogName& name, int64_t events_from);

  // The series of a job, all or the named ones; empty when it reported none.
  v1::MetricSeriesList Get(const std::string& job_id, const std::vector<std::string>& names);

 private:
  using Points = std::map<int64_t, v1::MetricPoint>;  // by step
  struct JobMetrics {
    absl::Mutex mu;
    std::map<std::string, Points> series ABSL_GUARDED_BY(mu);
    bool loaded ABSL_GUARDED_BY(mu) = false;
    std::map<LogName, int64_t> read_to ABSL_GUARDED_BY(mu);  // whole lines taken
  };

  std::shared_ptr<JobMetrics> Find(const std::string& job_id);
  void Load(const std::string& job_id, JobMetrics& job, const LogName* except)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(job.mu);
  std::vector<ReportedEvent> Catch(const LogName& name, int64_t events_from, JobMetrics& job)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(job.mu);
  static void Add(const LogName& name, const MetricSample& sample, JobMetrics& job)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(job.mu);

  const LogStore* const logs_;
  absl::Mutex mu_;
  int64_t clock_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, std::pair<int64_t, std::shared_ptr<JobMetrics>>> jobs_ ABSL_GUARDED_BY(mu_);
};

}  // namespace oneai::fabric
