#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compute_fabric/simulator/commands.h"
#include "compute_fabric/simulator/replay_cluster_file.h"
#include "compute_fabric/simulator/replay_report.h"
#include "compute_fabric/simulator/replay_trace.h"

namespace oneai::fabric {
namespace {

struct ReplayFlags {
  std::string file;
  std::string trace;
  std::vector<std::string> policies = {"oneai"};
  bool json = false;
};

// "oneai" is the policy of the file; the others are what it is usually compared with.
absl::StatusOr<Policy> PolicyOf(const std::string& name, const Policy& of_file) {
  Policy policy = of_file;
  if (name == "oneai") return policy;
  policy.overtake_max = absl::ZeroDuration();
  policy.preemption = false;
  if (name == "fifo") {
    policy.head_of_line = HeadOfLine::kBlock;
  } else if (name == "skip") {
    policy.head_of_line = HeadOfLine::kSkip;
  } else if (name == "easy") {
    policy.head_of_line = HeadOfLine::kBackfill;
    policy.reservations_max = 1;
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("--policy: no policy ", name, "; there are oneai, fifo, easy, skip"));
  }
  return policy;
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat(path, ": cannot be read; give an existing YAML file"));
  }
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

std::vector<std::string> KindsOf(const ReplayCluster& cluster) {
  std::set<std::string> kinds;
  for (const NodeSpec& node : cluster.nodes) {
    for (const DeviceSpec& device : node.devices) kinds.insert(device.kind);
  }
  return {kinds.begin(), kinds.end()};
}

absl::Status RunReplayCommand(const ReplayFlags& flags) {
  ASSIGN_OR_RETURN(const std::string text, ReadText(flags.file));
  // Read for its errors first: they are found at once, and need no trace.
  ASSIGN_OR_RETURN(ReplayFile file, ParseReplayFile(text, flags.file, absl::UnixEpoch()));
  for (const std::string& name : flags.policies) {
    RETURN_IF_ERROR(PolicyOf(name, file.settings.policy).status());
  }
  ASSIGN_OR_RETURN(const CsvTable table, CsvTable::Read(flags.trace));
  const TraceDefaults defaults{
      .kinds = KindsOf(file.cluster), .limit_factor = file.limit_factor, .seed = file.seed};
  ASSIGN_OR_RETURN(const std::vector<ReplayJob> jobs, ReadReplayTrace(table, defaults));
  if (jobs.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(flags.trace, ": has no job"));
  }
  absl::Time begin = jobs[0].request.submitted;
  for (const ReplayJob& job : jobs) begin = std::min(begin, job.request.submitted);
  ASSIGN_OR_RETURN(file, ParseReplayFile(text, flags.file, begin));
  std::vector<ReplayReport> reports;
  for (const std::string& name : flags.policies) {
    ReplaySettings settings = file.settings;
    ASSIGN_OR_RETURN(settings.policy, PolicyOf(name, file.settings.policy));
    ASSIGN_OR_RETURN(const ReplayResult result, Replay(file.cluster, jobs, settings));
    reports.push_back(MakeReplayReport(name, file.cluster, jobs, result));
  }
  std::fputs((flags.json ? ReplayJson(reports) : ReplayTables(reports)).c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace

void AddReplayCommand(CLI::App& app, absl::Status& result) {
  auto flags = std::make_shared<ReplayFlags>();
  CLI::App* command = app.add_subcommand(
      "replay", "replay any trace against any cluster and policy, through the scheduler itself");
  command->add_option("-f,--file", flags->file, "YAML: nodes, queues, maintenance, policy")
      ->required();
  command
      ->add_option("-t,--trace", flags->trace,
                   "CSV: submit,duration,tasks,cpus,memory,kind,count,…, or Philly's or Alibaba's")
      ->required();
  command
      ->add_option("--policy", flags->policies,
                   "oneai (as the file says), fifo, easy, skip; a row each")
      ->delimiter(',');
  command->add_flag("--json", flags->json, "print JSON instead of tables");
  command->callback([flags, &result] { result = RunReplayCommand(*flags); });
}

}  // namespace oneai::fabric
