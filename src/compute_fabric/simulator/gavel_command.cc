#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "compute_fabric/simulator/commands.h"
#include "compute_fabric/simulator/gavel_simulation.h"
#include "compute_fabric/simulator/gavel_trace.h"

namespace oneai::fabric {
namespace {

struct GavelFlags {
  std::string throughputs;
  std::vector<std::string> traces;
  std::vector<std::string> policies;
  std::string cluster = "36";
  std::string missing = "drop";
  std::string json;
  double round_s = 360;
  double restart_s = 0;
};

// "36": of each kind; "k80:36,p100:10": those, none of the others.
absl::StatusOr<std::vector<double>> ParseCluster(const std::string& text,
                                                 const std::vector<std::string>& kinds) {
  int64_t of_each = 0;
  if (absl::SimpleAtoi(text, &of_each) && of_each > 0) {
    return std::vector<double>(kinds.size(), static_cast<double>(of_each));
  }
  std::vector<double> workers(kinds.size(), 0.0);
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<std::string, std::string> fields =
        absl::StrSplit(part, absl::MaxSplits(':', 1));
    const auto kind = std::find(kinds.begin(), kinds.end(), fields.first);
    int64_t number = 0;
    if (kind == kinds.end() || !absl::SimpleAtoi(fields.second, &number) || number < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("--cluster ", part, ": expected a number of GPUs of each kind, or ",
                       absl::StrJoin(kinds, ":N,"), ":N"));
    }
    workers[static_cast<size_t>(kind - kinds.begin())] = static_cast<double>(number);
  }
  return workers;
}

absl::StatusOr<std::vector<GavelPolicy>> ParsePolicies(const std::vector<std::string>& names) {
  std::vector<GavelPolicy> policies;
  for (const std::string& name : names) {
    if (name == "all") return AllGavelPolicies();
    ASSIGN_OR_RETURN(const GavelPolicy policy, ParseGavelPolicy(name));
    policies.push_back(policy);
  }
  return policies;
}

void PrintTrace(const std::string& path, const GavelTrace& trace, bool dropped) {
  int64_t num_missing = 0;
  for (const auto& [what, rows] : trace.missing) num_missing += rows;
  std::printf("%s: %zu jobs; %lld of %lld rows without measured throughput, %s", path.c_str(),
              trace.jobs.size(), static_cast<long long>(num_missing),
              static_cast<long long>(trace.num_rows), dropped ? "dropped" : "scaled");
  const char* separator = ": ";
  for (const auto& [what, rows] : trace.missing) {
    std::printf("%s%s (%lld)", separator, what.c_str(), static_cast<long long>(rows));
    separator = ", ";
  }
  std::printf("\n%-12s %6s %12s %12s %12s %12s %6s %8s %8s %10s\n", "policy", "jobs", "mean JCT h",
              "median h", "p99 h", "makespan h", "util", "worst", "rho>1", "moves/job");
}

nlohmann::json PrintOutcome(GavelPolicy policy, const GavelOutcome& outcome) {
  const std::string name(GavelPolicyName(policy));
  std::printf("%-12s %6lld %12.2f %12.2f %12.2f %12.2f %6.3f %8.2f %8.3f %10.2f\n", name.c_str(),
              static_cast<long long>(outcome.num_jobs), outcome.mean_jct_s / 3600,
              outcome.median_jct_s / 3600, outcome.p99_jct_s / 3600, outcome.makespan_s / 3600,
              outcome.utilization, outcome.worst_fairness, outcome.unfair_share,
              outcome.interruptions_per_job);
  std::fflush(stdout);
  return {{"policy", name},
          {"num_jobs", outcome.num_jobs},
          {"mean_jct_s", outcome.mean_jct_s},
          {"median_jct_s", outcome.median_jct_s},
          {"p99_jct_s", outcome.p99_jct_s},
          {"makespan_s", outcome.makespan_s},
          {"utilization", outcome.utilization},
          {"worst_fairness", outcome.worst_fairness},
          {"unfair_share", outcome.unfair_share},
          {"interruptions_per_job", outcome.interruptions_per_job}};
}

absl::Status RunGavelCommand(const GavelFlags& flags) {
  ASSIGN_OR_RETURN(const std::vector<GavelPolicy> policies, ParsePolicies(flags.policies));
  ASSIGN_OR_RETURN(const GavelThroughputs throughputs, ReadGavelThroughputs(flags.throughputs));
  GavelOptions options;
  ASSIGN_OR_RETURN(options.workers, ParseCluster(flags.cluster, throughputs.kinds));
  options.round_s = flags.round_s;
  options.restart_s = flags.restart_s;
  if (options.restart_s >= options.round_s) {
    return absl::InvalidArgumentError("--restart-s must be less than --round-s");
  }
  const MissingThroughput missing =
      flags.missing == "drop" ? MissingThroughput::kDrop : MissingThroughput::kScale;
  nlohmann::json results = nlohmann::json::array();
  for (const std::string& path : flags.traces) {
    ASSIGN_OR_RETURN(const GavelTrace trace, ReadGavelTrace(path, throughputs, missing));
    PrintTrace(path, trace, missing == MissingThroughput::kDrop);
    nlohmann::json result = {{"trace", path}, {"missing", trace.missing}};
    for (GavelPolicy policy : policies) {
      result["policies"].push_back(
          PrintOutcome(policy, SimulateGavel(trace.jobs, policy, options)));
    }
    results.push_back(std::move(result));
  }
  if (flags.json.empty()) return absl::OkStatus();
  std::ofstream file(flags.json);
  file << results.dump(1) << "\n";
  file.close();
  if (!file) return absl::UnavailableError(absl::StrCat(flags.json, ": cannot be written"));
  return absl::OkStatus();
}

}  // namespace

void AddGavelCommand(CLI::App& app, absl::Status& result) {
  auto flags = std::make_shared<GavelFlags>();
  CLI::App* command = app.add_subcommand(
      "gavel", "share kinds of GPU between jobs in rounds, by measured throughput");
  command
      ->add_option("--throughputs", flags->throughputs,
                   "CSV: accelerator, consolidated, job_type, num_gpus, steps_per_s")
      ->required();
  command
      ->add_option("--trace", flags->traces,
                   "CSV: job_id, job_type, num_gpus, total_steps, arrival_s")
      ->required()
      ->delimiter(',');
  command
      ->add_option("--policy", flags->policies,
                   "fifo, fifo_aware, las, max_min, oneai, oneai_short, or all")
      ->required()
      ->delimiter(',');
  command->add_option("--cluster", flags->cluster, "GPUs of each kind, or kind:N,kind:N");
  command->add_option("--round-s", flags->round_s, "length of a round")
      ->check(CLI::Range(1.0, 86'400.0));
  command->add_option("--restart-s", flags->restart_s, "lost when a job starts or moves")
      ->check(CLI::Range(0.0, 86'400.0));
  command->add_option("--missing", flags->missing, "rows without measured throughput")
      ->check(CLI::IsMember({"drop", "scale"}));
  command->add_option("--json", flags->json, "write all figures here");
  command->callback([flags, &result] { result = RunGavelCommand(*flags); });
}

}  // namespace oneai::fabric
