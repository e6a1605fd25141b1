#include "compute_fabric/first_scheduler/explain.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "compute_fabric/first_scheduler/filter_nodes.h"
#include "compute_fabric/first_scheduler/rank_nodes.h"

namespace oneai::fabric::inline first {
namespace {

std::string DescribeDevices(const TaskShape& shape) {
  std::vector<std::string> kinds;
  for (const DeviceAlternative& device : shape.devices)
    kinds.push_back(absl::StrCat(device.count, " ", device.kind));
  return absl::StrJoin(kinds, " or ");
}

std::string DescribeShape(const TaskShape& shape) {
  std::vector<std::string> parts = {FormatCpus(shape.cpu_milli)};
  if (shape.memory_bytes > 0) parts.push_back(FormatBytes(shape.memory_bytes));
  if (!shape.devices.empty()) parts.push_back(DescribeDevices(shape));
  if (parts.size() == 1) return parts[0];
  const std::string last = parts.back();
  parts.pop_back();
  return absl::StrCat(absl::StrJoin(parts, ", "), " and ", last);
}

int64_t RoomOn(const NodeSnapshot& node, const TaskShape& shape) {
  int64_t room = 0;
  for (const DeviceAlternative* device : RankDevices(shape))
    room = std::max(room, NumTasksThatFit(node, shape, device));
  return room;
}

}  // namespace

std::string FormatCpuNumber(int64_t cpu_milli) { return absl::StrFormat("%g", cpu_milli / 1000.0); }

std::string FormatCpus(int64_t cpu_milli) {
  return absl::StrCat(FormatCpuNumber(cpu_milli),
                      cpu_milli > 0 && cpu_milli <= 1000 ? " CPU" : " CPUs");
}

std::string FormatBytes(int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (std::abs(value) >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.4g %s", value, kUnits[unit]);
}

std::string DescribeNeed(const PendingJob& job) {
  const size_t num_tasks = job.ranks.size();
  return absl::StrCat(
      "needs ", num_tasks, num_tasks == 1 ? " task" : " tasks",
      job.spread == SpreadPolicy::kNode && num_tasks > 1 ? " on different nodes" : "", " with ",
      DescribeShape(job.shape), num_tasks == 1 ? "" : " each");
}

std::vector<std::string> ExplainPending(const PendingJob& job,
                                        const std::vector<NodeSnapshot>& nodes, int64_t nodes_max) {
  std::vector<std::string> reasons = {DescribeNeed(job)};
  if (nodes.empty()) reasons.push_back("no node has joined the fabric yet");
  int64_t num_unnamed = 0;
  for (const NodeSnapshot& node : nodes) {
    if (static_cast<int64_t>(reasons.size()) > nodes_max) {
      ++num_unnamed;
      continue;
    }
    const std::vector<std::string> blockers = NodeBlockers(node, job.shape);
    if (!blockers.empty()) {
      reasons.push_back(absl::StrCat(node.name, ": ", absl::StrJoin(blockers, ", ")));
    } else if (job.spread == SpreadPolicy::kNode && job.nodes_held.count(node.name) > 0) {
      reasons.push_back(absl::StrCat(node.name, ": has a task of this job already"));
    } else {
      // Fits a task, but the gang as a whole does not fit.
      const int64_t room = job.spread == SpreadPolicy::kNode ? 1 : RoomOn(node, job.shape);
      reasons.push_back(
          absl::StrCat(node.name, ": room for ", room, " of the ", job.ranks.size(), " tasks"));
    }
  }
  if (num_unnamed > 0) reasons.push_back(absl::StrCat("and ", num_unnamed, " more nodes"));
  return reasons;
}

}  // namespace oneai::fabric::inline first
