#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compute_fabric/simulator/commands.h"
#include "compute_fabric/simulator/philly_policies.h"
#include "compute_fabric/simulator/philly_report.h"
#include "compute_fabric/simulator/philly_tenants.h"
#include "compute_fabric/simulator/philly_trace.h"

namespace oneai::fabric {
namespace {

struct PhillyFlags {
  std::string trace;
  int num_gpus = 640;
  std::vector<std::string> policies = {"fifo", "easy", "skip", "sjf", "srtf"};
  bool json = false;
};

absl::StatusOr<PoolPolicy> ParsePoolPolicy(const std::string& name) {
  static const std::map<std::string, PoolPolicy> kPolicies = {{"fifo", PoolPolicy::kFifo},
                                                              {"easy", PoolPolicy::kEasy},
                                                              {"skip", PoolPolicy::kSkip},
                                                              {"sjf", PoolPolicy::kSjf},
                                                              {"srtf", PoolPolicy::kSrtf}};
  const auto it = kPolicies.find(name);
  if (it != kPolicies.end()) return it->second;
  return absl::InvalidArgumentError(
      absl::StrCat("--policy: no policy ", name, "; there are fifo, easy, skip, sjf, srtf"));
}

std::vector<JobOutcome> OutcomesOf(const std::vector<PhillyJob>& jobs,
                                   const std::vector<int64_t>& completed) {
  std::vector<JobOutcome> outcomes;
  for (size_t i = 0; i < jobs.size(); ++i) {
    outcomes.push_back({.submitted_s = jobs[i].submit_s,
                        .duration_s = jobs[i].duration_s,
                        .completed_s = completed[i],
                        .num_devices = jobs[i].num_gpus});
  }
  return outcomes;
}

absl::Status RunPhillyCommand(const PhillyFlags& flags) {
  std::vector<PoolPolicy> policies;
  for (const std::string& name : flags.policies) {
    ASSIGN_OR_RETURN(const PoolPolicy policy, ParsePoolPolicy(name));
    policies.push_back(policy);
  }
  ASSIGN_OR_RETURN(const CsvTable table, CsvTable::Read(flags.trace));
  ASSIGN_OR_RETURN(const std::vector<PhillyJob> jobs, ReadPhillyTrace(table));
  for (const PhillyJob& job : jobs) {
    if (job.num_gpus <= flags.num_gpus) continue;
    return absl::InvalidArgumentError(absl::StrCat("--gpus: ", flags.num_gpus,
                                                   " is too few for a job of the trace; the "
                                                   "nearest valid number is ",
                                                   job.num_gpus));
  }
  const std::vector<double> by_tenant = IsolatedByTenant(jobs, QuotasByUse(jobs, flags.num_gpus));
  std::vector<PhillyRow> rows;
  for (size_t i = 0; i < policies.size(); ++i) {
    const auto began = std::chrono::steady_clock::now();
    const std::vector<JobOutcome> outcomes =
        OutcomesOf(jobs, SimulatePool(jobs, flags.num_gpus, policies[i]));
    PhillyRow row{.policy = flags.policies[i]};
    row.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    row.queueing = SummarizeOutcomes(outcomes, flags.num_gpus);
    row.by_share = SummarizeFairness(outcomes, IsolatedByShare(outcomes, flags.num_gpus));
    row.by_tenant = SummarizeFairness(outcomes, by_tenant);
    rows.push_back(std::move(row));
  }
  std::fputs((flags.json ? PhillyJson(rows) : PhillyTable(rows)).c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace

void AddPhillyCommand(CLI::App& app, absl::Status& result) {
  auto flags = std::make_shared<PhillyFlags>();
  CLI::App* command = app.add_subcommand(
      "philly", "replay the Philly trace: completion times, waits and fairness by policy");
  command
      ->add_option("--trace", flags->trace,
                   "CSV: submit_time, duration_s, num_gpus, virtual_cluster")
      ->required();
  command->add_option("--gpus", flags->num_gpus, "GPUs of the pool")
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--policy", flags->policies, "fifo, easy, skip, sjf, srtf")->delimiter(',');
  command->add_flag("--json", flags->json, "print JSON instead of tables");
  command->callback([flags, &result] { result = RunPhillyCommand(*flags); });
}

}  // namespace oneai::fabric
