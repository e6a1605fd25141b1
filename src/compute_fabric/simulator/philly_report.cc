#include "compute_fabric/simulator/philly_report.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "compute_fabric/simulator/replay_table.h"

namespace oneai::fabric {
namespace {

nlohmann::ordered_json FairnessJson(const FairnessFigures& fairness) {
  return {{"worst_rho", fairness.worst_rho},
          {"p99_rho", fairness.p99_rho},
          {"share_above_1", fairness.share_above_1}};
}

}  // namespace

std::string PhillyTable(const std::vector<PhillyRow>& rows) {
  std::vector<std::vector<std::string>> queueing = {{"policy", "mean JCT", "mean wait", "p50 wait",
                                                     "p95 wait", "p99 wait", "max wait", "makespan",
                                                     "evictions", "lost %", "took s"}};
  std::vector<std::vector<std::string>> fairness = {{"policy", "worst rho", "p99 rho", "rho>1 %",
                                                     "worst rho (tenant)", "p99 rho (tenant)",
                                                     "rho>1 % (tenant)"}};
  std::string settings;
  for (const PhillyRow& row : rows) {
    const QueueingFigures& q = row.queueing;
    queueing.push_back(
        {row.policy, FormatCount(q.mean_jct_s), FormatCount(q.mean_wait_s),
         FormatCount(q.p50_wait_s), FormatCount(q.p95_wait_s), FormatCount(q.p99_wait_s),
         FormatCount(q.max_wait_s), FormatCount(q.makespan_s), FormatCount(row.num_evictions),
         absl::StrFormat("%.2f", 100 * row.lost_share), absl::StrFormat("%.2f", row.wall_s)});
    fairness.push_back({row.policy, FormatCount(row.by_share.worst_rho),
                        FormatCount(row.by_share.p99_rho),
                        absl::StrFormat("%.1f", 100 * row.by_share.share_above_1),
                        absl::StrFormat("%.1f", row.by_tenant.worst_rho),
                        absl::StrFormat("%.2f", row.by_tenant.p99_rho),
                        absl::StrFormat("%.1f", 100 * row.by_tenant.share_above_1)});
    if (!row.setting.empty()) absl::StrAppend(&settings, row.policy, ": ", row.setting, "\n");
  }
  return absl::StrCat(
      "seconds; wait = completion - submission - duration\n", FormatTable(queueing),
      "\nfinish-time fairness, rho = completion time / alone. Alone on 1/N of the devices, N jobs "
      "present;\n(tenant): alone on the tenant's quota as a partition of its own, EASY backfill\n",
      FormatTable(fairness), settings.empty() ? "" : "\n", settings);
}

std::string PhillyJson(const std::vector<PhillyRow>& rows) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const PhillyRow& row : rows) {
    const QueueingFigures& q = row.queueing;
    list.push_back({{"policy", row.policy},
                    {"setting", row.setting},
                    {"num_jobs", q.num_jobs},
                    {"mean_jct_s", q.mean_jct_s},
                    {"mean_wait_s", q.mean_wait_s},
                    {"p50_wait_s", q.p50_wait_s},
                    {"p95_wait_s", q.p95_wait_s},
                    {"p99_wait_s", q.p99_wait_s},
                    {"max_wait_s", q.max_wait_s},
                    {"makespan_s", q.makespan_s},
                    {"utilisation", q.utilisation},
                    {"fairness_by_share", FairnessJson(row.by_share)},
                    {"fairness_by_tenant", FairnessJson(row.by_tenant)},
                    {"num_evictions", row.num_evictions},
                    {"lost_share", row.lost_share},
                    {"wall_s", row.wall_s}});
  }
  return list.dump(2) + "\n";
}

}  // namespace oneai::fabric
