#include <atomic>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compute_fabric/scheduler/score/score.h"
#include "compute_fabric/simulator/commands.h"
#include "compute_fabric/simulator/fgd_experiment.h"
#include "compute_fabric/simulator/fgd_report.h"
#include "compute_fabric/simulator/fgd_trace.h"

namespace oneai::fabric {
namespace {

struct FgdFlags {
  std::string nodes;
  std::vector<std::string> tasks;
  std::vector<std::string> policies;
  std::string seeds = "42..51";
  std::string json;
  std::string published;
  int threads = 1;
};

absl::StatusOr<std::vector<ScorePolicy>> ParsePolicies(const std::vector<std::string>& names) {
  std::vector<ScorePolicy> policies;
  for (const std::string& name : names) {
    if (name == "all") {
      for (ScorePolicy policy :
           {ScorePolicy::kRandom, ScorePolicy::kDotProduct, ScorePolicy::kClustering,
            ScorePolicy::kPacking, ScorePolicy::kBestFit, ScorePolicy::kFgd, ScorePolicy::kOneai}) {
        policies.push_back(policy);
      }
      continue;
    }
    ASSIGN_OR_RETURN(const ScorePolicy policy, ParseScorePolicy(name));
    policies.push_back(policy);
  }
  return policies;
}

// Runs are independent: each thread takes the next one until none is left.
void RunAll(const std::vector<NodeSpec>& nodes, const std::vector<FgdWorkload>& workloads,
            const std::vector<size_t>& workload_of_outcome, int num_threads,
            std::vector<FgdOutcome>& outcomes) {
  std::vector<std::pair<size_t, size_t>> runs;  // outcome, seed
  for (size_t i = 0; i < outcomes.size(); ++i) {
    outcomes[i].runs.resize(outcomes[i].seeds.size());
    for (size_t j = 0; j < outcomes[i].seeds.size(); ++j) runs.emplace_back(i, j);
  }
  std::atomic<size_t> next = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < num_threads; ++t) {
    threads.emplace_back([&] {
      for (size_t i = next++; i < runs.size(); i = next++) {
        FgdOutcome& outcome = outcomes[runs[i].first];
        outcome.runs[runs[i].second] =
            RunFgd(nodes, workloads[workload_of_outcome[runs[i].first]].tasks, outcome.policy,
                   outcome.seeds[runs[i].second]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

absl::Status RunFgdCommand(const FgdFlags& flags) {
  ASSIGN_OR_RETURN(const std::vector<ScorePolicy> policies, ParsePolicies(flags.policies));
  ASSIGN_OR_RETURN(const std::vector<uint64_t> seeds, ParseSeeds(flags.seeds));
  ASSIGN_OR_RETURN(const std::vector<NodeSpec> nodes, ReadFgdNodes(flags.nodes));
  FgdPublished published;
  if (!flags.published.empty()) {
    ASSIGN_OR_RETURN(published, ReadFgdPublished(flags.published));
  }
  std::vector<FgdWorkload> workloads;
  std::vector<FgdOutcome> outcomes;
  std::vector<size_t> workload_of_outcome;
  for (const std::string& path : flags.tasks) {
    ASSIGN_OR_RETURN(FgdWorkload workload, ReadFgdTasks(path, nodes));
    for (ScorePolicy policy : policies) {
      outcomes.push_back({workload.name, policy, seeds, {}});
      workload_of_outcome.push_back(workloads.size());
    }
    workloads.push_back(std::move(workload));
  }
  RunAll(nodes, workloads, workload_of_outcome, flags.threads, outcomes);
  std::fputs(FgdTable(outcomes, published).c_str(), stdout);
  if (flags.json.empty()) return absl::OkStatus();
  std::ofstream file(flags.json);
  file << FgdJson(outcomes, published);
  file.close();
  if (!file) return absl::UnavailableError(absl::StrCat(flags.json, ": cannot be written"));
  return absl::OkStatus();
}

}  // namespace

void AddFgdCommand(CLI::App& app, absl::Status& result) {
  auto flags = std::make_shared<FgdFlags>();
  CLI::App* command = app.add_subcommand(
      "fgd", "pack tasks on nodes as in the FGD paper: GPU allocated when 100 % has arrived");
  command->add_option("--nodes", flags->nodes, "CSV: sn, cpu_milli, memory_mib, gpu, model")
      ->required();
  command
      ->add_option("--tasks", flags->tasks,
                   "CSV: cpu_milli, memory_mib, num_gpu, gpu_milli and, if there, gpu_spec")
      ->required()
      ->delimiter(',');
  command
      ->add_option("--policy", flags->policies,
                   "oneai, fgd, best_fit, packing, clustering, dot_product, random, or all")
      ->required()
      ->delimiter(',');
  command->add_option("--seeds", flags->seeds, "FIRST..LAST or a list");
  command->add_option("--json", flags->json, "write all figures here");
  command->add_option("--published", flags->published, "CSV of published means to compare with");
  command->add_option("--threads", flags->threads, "runs at a time")->check(CLI::Range(1, 256));
  command->callback([flags, &result] { result = RunFgdCommand(*flags); });
}

}  // namespace oneai::fabric
