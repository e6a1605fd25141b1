#include "compute_fabric/simulator/fgd_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "compute_fabric/scheduler/score/score.h"
#include "compute_fabric/simulator/csv_table.h"

namespace oneai::fabric {
namespace {

constexpr int kReportedPct = 100;
constexpr uint64_t kSeedsMax = 10'000;

const std::map<std::string, ScorePolicy>& PublishedNames() {
  static const auto* names = new std::map<std::string, ScorePolicy>{
      {"Random", ScorePolicy::kRandom},         {"DotProd", ScorePolicy::kDotProduct},
      {"Clustering", ScorePolicy::kClustering}, {"Packing", ScorePolicy::kPacking},
      {"BestFit", ScorePolicy::kBestFit},       {"FGD", ScorePolicy::kFgd}};
  return *names;
}

FgdPoint MeanPoint(const FgdOutcome& outcome, int arrived_pct) {
  FgdPoint mean;
  const double weight = 1.0 / static_cast<double>(outcome.runs.size());
  for (const FgdRun& run : outcome.runs) {
    const FgdPoint& point = run.by_arrived_pct[arrived_pct];
    mean.alloc_pct += weight * point.alloc_pct;
    mean.frag_amount_pct += weight * point.frag_amount_pct;
    mean.frag_ratio_pct += weight * point.frag_ratio_pct;
  }
  return mean;
}

// How far from the published mean, in published standard deviations.
double Distance(const MeanAndSd& measured, const MeanAndSd& published) {
  return published.sd > 0 ? (measured.mean - published.mean) / published.sd : 0;
}

}  // namespace

MeanAndSd Summarize(const std::vector<double>& values) {
  MeanAndSd result;
  const auto n = static_cast<double>(values.size());
  if (values.empty()) return result;
  for (double value : values) result.mean += value / n;
  for (double value : values) result.sd += (value - result.mean) * (value - result.mean);
  result.sd = values.size() > 1 ? std::sqrt(result.sd / (n - 1)) : 0;
  return result;
}

MeanAndSd AllocationAt(const FgdOutcome& outcome, int arrived_pct) {
  std::vector<double> values;
  for (const FgdRun& run : outcome.runs) {
    values.push_back(run.by_arrived_pct[arrived_pct].alloc_pct);
  }
  return Summarize(values);
}

absl::StatusOr<FgdPublished> ReadFgdPublished(const std::string& path) {
  ASSIGN_OR_RETURN(const CsvTable table, CsvTable::Read(path));
  ASSIGN_OR_RETURN(const int workload, table.Column("workload"));
  ASSIGN_OR_RETURN(const int policy, table.Column("policy"));
  ASSIGN_OR_RETURN(const int arrived, table.Column("arrived_pct"));
  ASSIGN_OR_RETURN(const int mean, table.Column("alloc_pct_mean"));
  ASSIGN_OR_RETURN(const int sd, table.Column("alloc_pct_sd"));
  FgdPublished published;
  for (int64_t row = 0; row < table.num_rows(); ++row) {
    ASSIGN_OR_RETURN(const int64_t pct, table.Integer(row, arrived, 0, 1'000));
    if (pct != kReportedPct) continue;
    const auto known = PublishedNames().find(table.Text(row, policy));
    if (known == PublishedNames().end()) {
      return table.FieldError(row, policy, "not one of the six published policies");
    }
    MeanAndSd value;
    ASSIGN_OR_RETURN(value.mean, table.Number(row, mean, 0, 100));
    ASSIGN_OR_RETURN(value.sd, table.Number(row, sd, 0, 100));
    published[{table.Text(row, workload), known->second}] = value;
  }
  return published;
}

absl::StatusOr<std::vector<uint64_t>> ParseSeeds(absl::string_view text) {
  std::vector<uint64_t> seeds;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> ends =
        absl::StrSplit(part, absl::MaxSplits("..", 1));
    const bool is_range = part.find("..") != absl::string_view::npos;
    uint64_t first = 0;
    uint64_t last = 0;
    if (!absl::SimpleAtoi(ends.first, &first) ||
        !absl::SimpleAtoi(is_range ? ends.second : ends.first, &last) || last < first ||
        last - first >= kSeedsMax) {
      return absl::InvalidArgumentError(absl::StrCat(
          "seeds \"", part, "\": expected a number or FIRST..LAST with at most ", kSeedsMax));
    }
    for (uint64_t seed = first; seed <= last; ++seed) seeds.push_back(seed);
  }
  return seeds;
}

std::string FgdTable(const std::vector<FgdOutcome>& outcomes, const FgdPublished& published) {
  std::string out = absl::StrFormat("%-14s %-12s %7s %5s %7s %7s %7s %9s %6s %9s\n", "workload",
                                    "policy", "alloc%", "sd", "frag@50", "frag@80", "frag@90",
                                    "published", "sd", "distance");
  for (const FgdOutcome& outcome : outcomes) {
    const MeanAndSd allocation = AllocationAt(outcome, kReportedPct);
    absl::StrAppendFormat(&out, "%-14s %-12s %7.2f %5.2f %7.1f %7.1f %7.1f", outcome.workload,
                          std::string(ScorePolicyName(outcome.policy)), allocation.mean,
                          allocation.sd, MeanPoint(outcome, 50).frag_ratio_pct,
                          MeanPoint(outcome, 80).frag_ratio_pct,
                          MeanPoint(outcome, 90).frag_ratio_pct);
    // Our own policy has no published figure of its own: FGD's is the one to beat.
    const bool own = outcome.policy == ScorePolicy::kOneai;
    const auto found = published.find({outcome.workload, own ? ScorePolicy::kFgd : outcome.policy});
    if (found != published.end() && own) {
      absl::StrAppendFormat(&out, " %9.2f %6s %+6.2f points over FGD", found->second.mean, "",
                            allocation.mean - found->second.mean);
    } else if (found != published.end()) {
      absl::StrAppendFormat(&out, " %9.2f %6.2f %+6.1f sd", found->second.mean, found->second.sd,
                            Distance(allocation, found->second));
    }
    out += "\n";
  }
  return out;
}

std::string FgdJson(const std::vector<FgdOutcome>& outcomes, const FgdPublished& published) {
  nlohmann::json rows = nlohmann::json::array();
  for (const FgdOutcome& outcome : outcomes) {
    const MeanAndSd allocation = AllocationAt(outcome, kReportedPct);
    nlohmann::json row = {{"workload", outcome.workload},
                          {"policy", std::string(ScorePolicyName(outcome.policy))},
                          {"seeds", outcome.seeds},
                          {"alloc_pct_mean", allocation.mean},
                          {"alloc_pct_sd", allocation.sd}};
    const auto found = published.find({outcome.workload, outcome.policy});
    if (found != published.end()) {
      row["published"] = {{"alloc_pct_mean", found->second.mean},
                          {"alloc_pct_sd", found->second.sd},
                          {"distance_sd", Distance(allocation, found->second)}};
    }
    for (const FgdRun& run : outcome.runs) {
      row["runs"].push_back({{"alloc_pct", run.by_arrived_pct[kReportedPct].alloc_pct},
                             {"num_arrived", run.num_arrived},
                             {"num_failed", run.num_failed}});
    }
    for (int pct = 0; pct <= kFgdArrivedPctMax; ++pct) {
      const FgdPoint point = MeanPoint(outcome, pct);
      row["by_arrived_pct"].push_back({{"arrived_pct", pct},
                                       {"alloc_pct", point.alloc_pct},
                                       {"frag_amount_pct", point.frag_amount_pct},
                                       {"frag_ratio_pct", point.frag_ratio_pct}});
    }
    rows.push_back(std::move(row));
  }
  return rows.dump(1) + "\n";
}

}  // namespace oneai::fabric
