#include "compute_fabric/joblog/metric_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace oneai::fabric {
namespace {

constexpr int64_t kReadBytes = 1 << 20;

// A curve keeps its shape and its recent detail: every second point of the older half goes.
void Thin(std::map<int64_t, v1::MetricPoint>& points) {
  size_t index = 0;
  const size_t half = points.size() / 2;
  for (auto it = points.begin(); it != points.end() && index < half; ++index) {
    it = index % 2 == 1 ? points.erase(it) : std::next(it);
  }
}

}  // namespace

std::shared_ptr<MetricStore::JobMetrics> MetricStore::Find(const std::string& job_id) {
  absl::MutexLock lock(&mu_);
  auto& [used, job] = jobs_[job_id];
  used = ++clock_;
  if (job == nullptr) job = std::make_shared<JobMetrics>();
  std::shared_ptr<JobMetrics> found = job;
  if (jobs_.size() > kJobsMax) {
    jobs_.erase(std::min_element(jobs_.begin(), jobs_.end(), [](const auto& a, const auto& b) {
      return a.second.first < b.second.first;
    }));
  }
  return found;
}

void MetricStore::Add(const LogName& name, const MetricSample& sample, JobMetrics& job) {
  for (const auto& [key, value] : sample.values) {
    const std::string series = name.rank == 0 ? key : absl::StrCat(key, "/rank", name.rank);
    if (job.series.size() >= kSeriesMax && job.series.count(series) == 0) continue;
    Points& points = job.series[series];
    v1::MetricPoint& point = points[sample.step];
    if (point.attempt() > name.attempt) continue;  // an older attempt's file, read late
    point.set_step(sample.step);
    point.set_value(value);
    point.set_unix_ms(sample.unix_ms);
    point.set_attempt(name.attempt);
    if (points.size() > kPointsMax) Thin(points);
  }
}

std::vector<ReportedEvent> MetricStore::Catch(const LogName& name, int64_t events_from,
                                              JobMetrics& job) {
  std::vector<ReportedEvent> events;
  int64_t& read_to = job.read_to[name];
  while (true) {
    const absl::StatusOr<LogSlice> slice = logs_->Read(name, read_to, kReadBytes);
    if (!slice.ok() || slice->data.empty()) return events;
    absl::string_view text = slice->data;
    size_t taken = 0;
    for (size_t end = text.find('\n'); end != absl::string_view::npos;
         end = text.find('\n', taken)) {
      const std::optional<MetricLine> line = ParseMetricLine(text.substr(taken, end - taken));
      taken = end + 1;
      if (!line) continue;
      if (const auto* sample = std::get_if<MetricSample>(&*line)) Add(name, *sample, job);
      const auto* event = std::get_if<ReportedEvent>(&*line);
      if (event != nullptr && read_to + static_cast<int64_t>(taken) > events_from)
        events.push_back(*event);
    }
    // A line without end that fills the whole buffer is no metric: skip it.
    if (taken == 0 && static_cast<int64_t>(text.size()) == kReadBytes) taken = text.size();
    if (taken == 0) return events;
    read_to += static_cast<int64_t>(taken);
  }
}

void MetricStore::Load(const std::string& job_id, JobMetrics& job, const LogName* except) {
  if (job.loaded) return;
  job.loaded = true;
  for (const LogName& name : logs_->List(job_id)) {
    const bool skip = except != nullptr && !(name < *except) && !(*except < name);
    if (name.stream == v1::METRICS && !skip) Catch(name, 0, job);
  }
}

std::vector<ReportedEvent> MetricStore::Ingest(const LogName& name, int64_t events_from) {
  const std::shared_ptr<JobMetrics> job = Find(name.job_id);
  absl::MutexLock lock(&job->mu);
  Load(name.job_id, *job, &name);
  return Catch(name, events_from, *job);
}

v1::MetricSeriesList MetricStore::Get(const std::string& job_id,
                                      const std::vector<std::string>& names) {
  const std::shared_ptr<JobMetrics> job = Find(job_id);
  absl::MutexLock lock(&job->mu);
  Load(job_id, *job, nullptr);
  v1::MetricSeriesList list;
  for (const auto& [name, points] : job->series) {
    if (!names.empty() && std::find(names.begin(), names.end(), name) == names.end()) continue;
    v1::MetricSeries* series = list.add_series();
    series->set_name(name);
    for (const auto& [step, point] : points) *series->add_points() = point;
  }
  return list;
}

}  // namespace oneai::fabric
