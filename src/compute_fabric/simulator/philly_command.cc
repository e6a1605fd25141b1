#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "compute_fabric/simulator/commands.h"
#include "compute_fabric/simulator/philly_cluster.h"
#include "compute_fabric/simulator/philly_policies.h"
#include "compute_fabric/simulator/philly_report.h"
#include "compute_fabric/simulator/philly_tenants.h"
#include "compute_fabric/simulator/philly_trace.h"

namespace oneai::fabric {
namespace {

constexpr char kOneai[] = "oneai";
constexpr char kNodesFifo[] = "nodes-fifo";

struct PhillyFlags {
  std::string trace;
  int num_gpus = 640;
  std::vector<std::string> policies = {"fifo", "easy", "skip", "sjf", "srtf", kNodesFifo, kOneai};
  std::vector<double> limit_factors = {1, 3};
  uint64_t seed = 42;
  int64_t checkpoint_minutes = 30;
  double overtake_hours = absl::ToDoubleHours(Policy().overtake_max);
  double overdue_hours = absl::ToDoubleHours(Policy().overdue_after);
  int reservations_max = Policy().reservations_max;
  bool preemption = true;
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
  return absl::InvalidArgumentError(absl::StrCat(
      "--policy: no policy ", name, "; there are fifo, easy, skip, sjf, srtf, nodes-fifo, oneai"));
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

double SecondsSince(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

// What all rows of one run have in common.
struct Comparison {
  const PhillyFlags& flags;
  const std::vector<PhillyJob>& jobs;
  std::map<std::string, int> quotas;
  std::vector<double> isolated_by_tenant;

  void Judge(const std::vector<JobOutcome>& outcomes, PhillyRow& row) const {
    row.queueing = SummarizeOutcomes(outcomes, flags.num_gpus);
    row.by_share = SummarizeFairness(outcomes, IsolatedByShare(outcomes, flags.num_gpus));
    row.by_tenant = SummarizeFairness(outcomes, isolated_by_tenant);
  }
};

PhillyRow RunPool(const Comparison& comparison, const std::string& name, PoolPolicy policy) {
  PhillyRow row{.policy = name};
  const auto began = std::chrono::steady_clock::now();
  const std::vector<int64_t> completed =
      SimulatePool(comparison.jobs, comparison.flags.num_gpus, policy);
  row.wall_s = SecondsSince(began);
  comparison.Judge(OutcomesOf(comparison.jobs, completed), row);
  return row;
}

// The scheduler itself on nodes: as it is, with tenants as queues; or told to be plain FIFO on one
// queue, which shows what node boundaries alone cost.
absl::StatusOr<PhillyRow> RunOnNodes(const Comparison& comparison, const std::string& name,
                                     double limit_factor) {
  const PhillyFlags& flags = comparison.flags;
  const bool is_fifo = name == kNodesFifo;
  PhillyRow row{.policy = limit_factor == 1 ? name : absl::StrFormat("%s x%g", name, limit_factor)};
  ReplayCluster cluster = MakePhillyCluster(flags.num_gpus, comparison.quotas);
  std::vector<ReplayJob> jobs = MakePhillyJobs(comparison.jobs, limit_factor, flags.seed);
  ReplaySettings settings;
  settings.policy.overtake_max = absl::Hours(flags.overtake_hours);
  settings.policy.overdue_after = absl::Hours(flags.overdue_hours);
  settings.policy.reservations_max = flags.reservations_max;
  settings.policy.preemption = flags.preemption;
  if (is_fifo) {
    settings.policy.head_of_line = HeadOfLine::kBlock;
    settings.policy.overtake_max = absl::ZeroDuration();
    settings.policy.preemption = false;
    cluster.queues.clear();
    for (ReplayJob& job : jobs) job.request.queue = "all";
  }
  settings.checkpoint_interval = absl::Minutes(flags.checkpoint_minutes);
  const auto began = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(const ReplayResult result, Replay(cluster, jobs, settings));
  row.wall_s = SecondsSince(began);
  std::vector<int64_t> completed;
  double held = 0, lost = 0;
  for (size_t i = 0; i < jobs.size(); ++i) {
    const ReplayedJob& job = result.jobs[i];
    if (job.completed == absl::InfiniteFuture()) {
      return absl::InternalError(absl::StrCat(jobs[i].request.id, " never completed"));
    }
    completed.push_back(absl::ToUnixSeconds(job.completed + absl::Milliseconds(500)));
    row.num_evictions += job.num_evictions;
    held += job.device_seconds;
    lost += job.lost_device_seconds;
  }
  row.lost_share = held > 0 ? lost / held : 0;
  row.setting = absl::StrFormat(
      "nodes of %d, racks of %d nodes; %s; time limit = run time x %s; checkpoint every %d min; %d "
      "passes, %.0f us each on average, slowest %.1f ms",
      kPhillyGpusPerNode, kPhillyNodesPerRack,
      is_fifo ? "one queue, the head of the line blocks"
              : "a queue per tenant, nominal quota in proportion to its device-time, all lendable",
      limit_factor == 1 ? std::string("1 (exact)")
                        : absl::StrFormat("uniform 1..%g (seed %d)", limit_factor, flags.seed),
      flags.checkpoint_minutes, result.num_passes,
      absl::ToDoubleMicroseconds(result.planning) /
          static_cast<double>(std::max<int64_t>(1, result.num_passes)),
      absl::ToDoubleMilliseconds(result.slowest_pass));
  comparison.Judge(OutcomesOf(comparison.jobs, completed), row);
  return row;
}

absl::Status RunPhillyCommand(const PhillyFlags& flags) {
  for (const std::string& name : flags.policies) {
    if (name == kOneai || name == kNodesFifo) continue;
    RETURN_IF_ERROR(ParsePoolPolicy(name).status());
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
  Comparison comparison{flags, jobs, QuotasByUse(jobs, flags.num_gpus), {}};
  comparison.isolated_by_tenant = IsolatedByTenant(jobs, comparison.quotas);
  std::vector<PhillyRow> rows;
  for (const std::string& name : flags.policies) {
    if (name == kNodesFifo) {
      ASSIGN_OR_RETURN(PhillyRow row, RunOnNodes(comparison, name, 1));
      rows.push_back(std::move(row));
      continue;
    }
    if (name != kOneai) {
      rows.push_back(RunPool(comparison, name, *ParsePoolPolicy(name)));
      continue;
    }
    for (double limit_factor : flags.limit_factors) {
      ASSIGN_OR_RETURN(PhillyRow row, RunOnNodes(comparison, name, limit_factor));
      rows.push_back(std::move(row));
    }
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
  command
      ->add_option("--policy", flags->policies,
                   "fifo, easy, skip, sjf, srtf on one pool; oneai: the scheduler itself on nodes; "
                   "nodes-fifo: FIFO on the same nodes")
      ->delimiter(',');
  command
      ->add_option("--limit-factor", flags->limit_factors,
                   "oneai: time limit = run time x uniform 1..factor, a row each; 1: exact")
      ->delimiter(',')
      ->check(CLI::Range(1.0, 1000.0));
  command->add_option("--seed", flags->seed, "of the time limits");
  command->add_option("--checkpoint-minutes", flags->checkpoint_minutes, "between checkpoints")
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--overtake-hours", flags->overtake_hours, "Policy::overtake_max")
      ->check(CLI::Range(0.0, 1e6));
  command->add_option("--overdue-hours", flags->overdue_hours, "Policy::overdue_after")
      ->check(CLI::Range(0.0, 1e6));
  command->add_option("--reservations", flags->reservations_max, "Policy::reservations_max")
      ->check(CLI::Range(0, 1000));
  command->add_flag("!--no-preemption", flags->preemption, "nobody is evicted");
  command->add_flag("--json", flags->json, "print JSON instead of tables");
  command->callback([flags, &result] { result = RunPhillyCommand(*flags); });
}

}  // namespace oneai::fabric
