#include "compute_fabric/first_scheduler/feasibility.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compute_fabric/first_scheduler/explain.h"
#include "compute_fabric/first_scheduler/filter_nodes.h"
#include "compute_fabric/first_scheduler/gang_commit.h"
#include "compute_fabric/first_scheduler/quota.h"

namespace oneai::fabric::inline first {
namespace {

std::vector<NodeSnapshot> Emptied(std::vector<NodeSnapshot> nodes) {
  for (NodeSnapshot& node : nodes) {
    node.schedulable = true;
    node.cpu_milli_used = 0;
    node.memory_bytes_used = 0;
    node.ports_used.clear();
    for (DeviceSnapshot& device : node.devices) device.healthy = !(device.in_use = false);
  }
  return nodes;
}

// The devices asked for against those that exist: the alternative that comes nearest, in words.
// Empty: some node has enough.
std::string DeviceShortage(const TaskShape& shape, const std::vector<NodeSnapshot>& nodes) {
  std::vector<std::string> shortages;
  for (const DeviceAlternative& wanted : shape.devices) {
    int64_t most = 0;
    std::string where;
    for (const NodeSnapshot& node : nodes) {
      if (int64_t has = NumDevices(node, wanted.kind, true); has > most) {
        most = has;
        where = node.name;
      }
    }
    if (most >= wanted.count) return "";
    shortages.push_back(most == 0 ? absl::StrCat("no node has a device of kind ", wanted.kind)
                                  : absl::StrCat("asks for ", wanted.count, " ", wanted.kind,
                                                 " per task; the most on one node is ", most, " (",
                                                 where, ")"));
  }
  if (shortages.empty()) return "";
  std::set<std::string> kinds;
  for (const NodeSnapshot& node : nodes) {
    for (const DeviceSnapshot& device : node.devices) kinds.insert(device.kind);
  }
  return absl::StrCat(absl::StrJoin(shortages, "; "),
                      kinds.empty()
                          ? "; the fabric has no devices"
                          : absl::StrCat("; the fabric's kinds: ", absl::StrJoin(kinds, ", ")));
}

// Why not even one task fits on the empty fabric.
std::string TaskShortage(const TaskShape& shape, const std::vector<NodeSnapshot>& nodes) {
  const auto by_cpu =
      std::max_element(nodes.begin(), nodes.end(),
                       [](const auto& a, const auto& b) { return a.cpu_milli < b.cpu_milli; });
  if (by_cpu->cpu_milli < shape.cpu_milli) {
    return absl::StrCat("resources.cpu_milli: asks for ", FormatCpus(shape.cpu_milli),
                        " per task; the largest node, ", by_cpu->name, ", has ",
                        FormatCpus(by_cpu->cpu_milli), " (", by_cpu->cpu_milli, "m)");
  }
  const auto by_memory = std::max_element(
      nodes.begin(), nodes.end(),
      [](const auto& a, const auto& b) { return a.memory_bytes < b.memory_bytes; });
  if (by_memory->memory_bytes < shape.memory_bytes) {
    return absl::StrCat("resources.memory_bytes: asks for ", FormatBytes(shape.memory_bytes),
                        " per task; the largest node, ", by_memory->name, ", has ",
                        FormatBytes(by_memory->memory_bytes));
  }
  if (std::string shortage = DeviceShortage(shape, nodes); !shortage.empty()) {
    return absl::StrCat("resources.devices: ", shortage);
  }
  std::vector<std::string> per_node;
  for (const NodeSnapshot& node : nodes) {
    if (per_node.size() == 8) break;
    per_node.push_back(
        absl::StrCat(node.name, ": ", absl::StrJoin(NodeBlockers(node, shape), ", ")));
  }
  return absl::StrCat("resources: no node has all of it at once; ", absl::StrJoin(per_node, "; "));
}

}  // namespace

absl::Status CanEverFit(const PendingJob& job, const std::vector<NodeSnapshot>& nodes) {
  if (nodes.empty()) return absl::OkStatus();
  const std::vector<NodeSnapshot> empty = Emptied(nodes);
  PendingJob whole = job;
  whole.gang = false;
  whole.nodes_held.clear();
  std::vector<NodeSnapshot> scratch = empty;
  QueueSnapshot unlimited;
  const size_t num_fit = CommitJob(whole, scratch, unlimited).size();
  if (num_fit == job.ranks.size()) return absl::OkStatus();
  if (num_fit == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the job can never run on this fabric: ", TaskShortage(job.shape, empty)));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the job can never run on this fabric: num_tasks: it ", DescribeNeed(job),
                   "; the largest that fits is ", num_fit, num_fit == 1 ? " task" : " tasks"));
}

absl::Status QuotaCanEverAdmit(const PendingJob& job, const QueueSnapshot& queue) {
  QueueSnapshot unused = queue;
  unused.cpu_milli_used = 0;
  unused.memory_bytes_used = 0;
  unused.device_used.clear();
  const std::vector<std::string> blockers =
      QuotaBlockers(job.project, unused, job.shape, static_cast<int64_t>(job.ranks.size()));
  if (blockers.empty()) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the project's quota can never admit the job: ", absl::StrJoin(blockers, "; ")));
}

}  // namespace oneai::fabric::inline first
