#include "compute_fabric/simulator/replay_report.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "compute_fabric/simulator/replay_table.h"

namespace oneai::fabric {
namespace {

// In whole devices, rounded up: a share counts as one in a fairness that counts devices.
int64_t DevicesOf(const JobView& job) {
  if (job.shape.devices.empty()) return 0;
  const int64_t milli = job.shape.devices[0].total_milli() * job.tasks;
  return (milli + kWholeDevice - 1) / kWholeDevice;
}

struct Outcomes {
  std::vector<JobOutcome> jobs;
  std::vector<double> isolated_s;
};

template <typename Json>
void AddFigures(const QueueingFigures& q, const FairnessFigures& f, Json& json) {
  json["num_completed"] = q.num_jobs;
  json["mean_jct_s"] = q.mean_jct_s;
  json["mean_wait_s"] = q.mean_wait_s;
  json["p50_wait_s"] = q.p50_wait_s;
  json["p95_wait_s"] = q.p95_wait_s;
  json["p99_wait_s"] = q.p99_wait_s;
  json["max_wait_s"] = q.max_wait_s;
  json["worst_rho"] = f.worst_rho;
  json["p99_rho"] = f.p99_rho;
  json["share_rho_above_1"] = f.share_above_1;
}

std::vector<std::string> Cells(const QueueingFigures& q, const FairnessFigures& f) {
  return {FormatCount(static_cast<double>(q.num_jobs)),
          FormatCount(q.mean_jct_s),
          FormatCount(q.mean_wait_s),
          FormatCount(static_cast<double>(q.p50_wait_s)),
          FormatCount(static_cast<double>(q.p95_wait_s)),
          FormatCount(static_cast<double>(q.p99_wait_s)),
          FormatCount(static_cast<double>(q.max_wait_s)),
          absl::StrFormat("%.1f", f.worst_rho),
          absl::StrFormat("%.1f", 100 * f.share_above_1)};
}

std::vector<std::string> Row(std::string first, const QueueingFigures& q, const FairnessFigures& f,
                             std::vector<std::string> more) {
  std::vector<std::string> row = {std::move(first)};
  for (std::string& cell : Cells(q, f)) row.push_back(std::move(cell));
  for (std::string& cell : more) row.push_back(std::move(cell));
  return row;
}

const std::vector<std::string> kColumns = {"done", "mean JCT", "mean wait", "p50",    "p95",
                                           "p99",  "max wait", "worst rho", "rho>1 %"};

std::vector<std::string> Header(std::string first, std::vector<std::string> more) {
  std::vector<std::string> row = {std::move(first)};
  row.insert(row.end(), kColumns.begin(), kColumns.end());
  row.insert(row.end(), more.begin(), more.end());
  return row;
}

std::string UtilisationText(const ReplayReport& report) {
  return absl::StrJoin(report.utilisation, ", ", [](std::string* out, const auto& kind) {
    absl::StrAppendFormat(out, "%s %.1f %%", kind.first, 100 * kind.second);
  });
}

}  // namespace

ReplayReport MakeReplayReport(std::string policy, const ReplayCluster& cluster,
                              const std::vector<ReplayJob>& jobs, const ReplayResult& result) {
  ReplayReport report{.policy = std::move(policy)};
  report.num_jobs = static_cast<int64_t>(jobs.size());
  int64_t num_devices = 0;
  for (const NodeSpec& node : cluster.nodes) {
    num_devices += static_cast<int64_t>(node.devices.size());
  }
  Outcomes all;
  std::map<std::string, Outcomes> by_queue;
  std::vector<size_t> completed;
  double held = 0, lost = 0;
  for (size_t i = 0; i < jobs.size(); ++i) {
    const ReplayedJob& replayed = result.jobs[i];
    QueueFigures& queue = report.queues[jobs[i].request.queue];
    queue.num_evictions += replayed.num_evictions;
    queue.device_hours += replayed.device_seconds / 3600;
    report.num_evictions += replayed.num_evictions;
    report.num_resizes += replayed.num_resizes;
    report.num_stopped_at_limit += replayed.stopped_at_limit ? 1 : 0;
    held += replayed.device_seconds;
    lost += replayed.lost_device_seconds;
    if (replayed.completed == absl::InfiniteFuture()) {
      ++report.num_never_completed;
      continue;
    }
    completed.push_back(i);
    all.jobs.push_back(
        {.submitted_s = absl::ToUnixSeconds(jobs[i].request.submitted),
         .duration_s = absl::ToInt64Seconds(jobs[i].run_time),
         .completed_s = absl::ToUnixSeconds(replayed.completed + absl::Milliseconds(500)),
         .num_devices = DevicesOf(jobs[i].request)});
  }
  all.isolated_s = IsolatedByShare(all.jobs, num_devices);
  for (size_t k = 0; k < completed.size(); ++k) {
    Outcomes& queue = by_queue[jobs[completed[k]].request.queue];
    queue.jobs.push_back(all.jobs[k]);
    queue.isolated_s.push_back(all.isolated_s[k]);
  }
  report.queueing = SummarizeOutcomes(all.jobs, num_devices);
  report.fairness = SummarizeFairness(all.jobs, all.isolated_s);
  for (const auto& [queue, outcomes] : by_queue) {
    report.queues[queue].queueing = SummarizeOutcomes(outcomes.jobs, num_devices);
    report.queues[queue].fairness = SummarizeFairness(outcomes.jobs, outcomes.isolated_s);
  }
  const double seconds = absl::ToDoubleSeconds(result.end - result.begin);
  for (const auto& [kind, num] : result.num_devices) {
    const auto busy = result.busy_device_seconds.find(kind);
    report.utilisation[kind] = busy == result.busy_device_seconds.end() || seconds <= 0
                                   ? 0
                                   : busy->second / (num * seconds);
  }
  report.lost_share = held > 0 ? lost / held : 0;
  report.num_passes = result.num_passes;
  report.pass_us_mean = absl::ToDoubleMicroseconds(result.planning) /
                        static_cast<double>(std::max<int64_t>(1, result.num_passes));
  report.pass_ms_max = absl::ToDoubleMilliseconds(result.slowest_pass);
  return report;
}

std::string ReplayTables(const std::vector<ReplayReport>& reports) {
  std::vector<std::vector<std::string>> rows = {
      Header("policy", {"makespan", "evictions", "resizes", "lost %", "at limit", "never"})};
  for (const ReplayReport& report : reports) {
    rows.push_back(Row(report.policy, report.queueing, report.fairness,
                       {FormatCount(static_cast<double>(report.queueing.makespan_s)),
                        FormatCount(static_cast<double>(report.num_evictions)),
                        FormatCount(static_cast<double>(report.num_resizes)),
                        absl::StrFormat("%.2f", 100 * report.lost_share),
                        FormatCount(static_cast<double>(report.num_stopped_at_limit)),
                        FormatCount(static_cast<double>(report.num_never_completed))}));
  }
  std::string text = absl::StrCat(
      "seconds; wait = completion - submission - run time; rho = completion time / alone on 1/N "
      "of the devices, N jobs present\n",
      FormatTable(rows));
  for (const ReplayReport& report : reports) {
    std::vector<std::vector<std::string>> queues = {Header("queue", {"device-hours", "evictions"})};
    for (const auto& [name, queue] : report.queues) {
      queues.push_back(Row(name.empty() ? "(none)" : name, queue.queueing, queue.fairness,
                           {FormatCount(queue.device_hours),
                            FormatCount(static_cast<double>(queue.num_evictions))}));
    }
    absl::StrAppend(&text, "\n", report.policy, ": utilisation ", UtilisationText(report),
                    absl::StrFormat("; %d passes, %.0f us each on average, slowest %.1f ms\n",
                                    report.num_passes, report.pass_us_mean, report.pass_ms_max),
                    FormatTable(queues));
  }
  return text;
}

std::string ReplayJson(const std::vector<ReplayReport>& reports) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ReplayReport& report : reports) {
    nlohmann::ordered_json json;
    json["policy"] = report.policy;
    json["num_jobs"] = report.num_jobs;
    AddFigures(report.queueing, report.fairness, json);
    json["makespan_s"] = report.queueing.makespan_s;
    json["utilisation"] = report.utilisation;
    json["num_evictions"] = report.num_evictions;
    json["num_resizes"] = report.num_resizes;
    json["lost_share"] = report.lost_share;
    json["num_stopped_at_limit"] = report.num_stopped_at_limit;
    json["num_never_completed"] = report.num_never_completed;
    json["num_passes"] = report.num_passes;
    json["pass_us_mean"] = report.pass_us_mean;
    json["pass_ms_max"] = report.pass_ms_max;
    nlohmann::ordered_json queues = nlohmann::ordered_json::object();
    for (const auto& [name, queue] : report.queues) {
      nlohmann::ordered_json& entry = queues[name];
      AddFigures(queue.queueing, queue.fairness, entry);
      entry["device_hours"] = queue.device_hours;
      entry["num_evictions"] = queue.num_evictions;
    }
    json["queues"] = std::move(queues);
    list.push_back(std::move(json));
  }
  return list.dump(2) + "\n";
}

}  // namespace oneai::fabric
