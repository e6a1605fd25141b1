#include "compute_fabric/scheduler/feasibility.h"

#include <algorithm>
#include <functional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compute_fabric/scheduler/describe.h"
#include "compute_fabric/scheduler/domain_room.h"
#include "compute_fabric/scheduler/node_blockers.h"

namespace oneai::fabric {
namespace {

int64_t TasksAtOnce(const JobView& job) {
  const int64_t all = static_cast<int64_t>(job.ranks.size());
  return job.gang ? std::min<int64_t>(all, std::max(1, job.tasks_min)) : all;
}

// The node's room if nothing ran there and all devices were healthy.
NodeState Emptied(NodeState node) {
  node.spec.unschedulable_reason.clear();
  node.cpu_milli_free = node.spec.cpu_milli;
  node.memory_bytes_free = node.spec.memory_bytes;
  node.num_ports_free = std::max(0, node.spec.port_last - node.spec.port_first + 1);
  for (size_t i = 0; i < node.devices.size(); ++i) {
    node.devices[i].milli_free = kWholeDevice;
    node.devices[i].memory_free = node.spec.devices[i].memory_bytes;
    node.devices[i].healthy = true;
  }
  return node;
}

NodeRoom EmptyRoomOf(const NodeState& node) {
  NodeRoom room{.cpu_milli = node.spec.cpu_milli,
                .memory_bytes = node.spec.memory_bytes,
                .num_ports = std::max(0, node.spec.port_last - node.spec.port_first + 1)};
  for (size_t i = 0; i < node.devices.size(); ++i) {
    DeviceState device = node.devices[i];
    device.milli_free = kWholeDevice;
    device.memory_free = node.spec.devices[i].memory_bytes;
    device.healthy = true;
    room.devices.push_back(device);
  }
  return room;
}

void VisitNodes(const ClusterState& cluster, const std::function<void(const NodeState&)>& visit) {
  for (NodeIndex node = 0; node < cluster.num_indexes(); ++node) {
    if (cluster.IsNode(node)) visit(cluster.node(node));
  }
}

// The node with most of an amount, and how much that is. Ties: the first by name.
std::pair<std::string, int64_t> Largest(const ClusterState& cluster,
                                        const std::function<int64_t(const NodeSpec&)>& amount) {
  std::pair<std::string, int64_t> largest{"", -1};
  VisitNodes(cluster, [&](const NodeState& node) {
    const int64_t has = amount(node.spec);
    if (has > largest.second || (has == largest.second && node.spec.name < largest.first)) {
      largest = {node.spec.name, has};
    }
  });
  return largest;
}

int64_t CountKind(const NodeSpec& node, const std::string& kind) {
  return std::count_if(node.devices.begin(), node.devices.end(),
                       [&](const DeviceSpec& device) { return device.kind == kind; });
}

// The devices asked for against those that exist: the alternative that comes nearest, in words.
// Empty: some node has enough.
std::string DeviceShortage(const ClusterState& cluster, const TaskShape& shape) {
  std::vector<std::string> shortages;
  for (const DeviceAlternative& wanted : shape.devices) {
    const auto [where, most] =
        Largest(cluster, [&](const NodeSpec& node) { return CountKind(node, wanted.kind); });
    if (most >= wanted.count) return "";
    shortages.push_back(most == 0 ? absl::StrCat("no node has a device of kind ", wanted.kind)
                                  : absl::StrCat("asks for ", wanted.count, " ", wanted.kind,
                                                 " per task; the most on one node is ", most, " (",
                                                 where, ")"));
  }
  if (shortages.empty()) return "";
  std::set<std::string> kinds;
  VisitNodes(cluster, [&](const NodeState& node) {
    for (const DeviceSpec& device : node.spec.devices) kinds.insert(device.kind);
  });
  return absl::StrCat(absl::StrJoin(shortages, "; "),
                      kinds.empty()
                          ? "; the fabric has no devices"
                          : absl::StrCat("; the fabric's kinds: ", absl::StrJoin(kinds, ", ")));
}

// Why not even one task fits on the empty fabric.
std::string TaskShortage(const SchedulerState& state, const TaskShape& shape) {
  const ClusterState& cluster = state.cluster;
  const auto [cpu_node, cpu] =
      Largest(cluster, [](const NodeSpec& node) { return node.cpu_milli; });
  if (cpu < shape.cpu_milli) {
    return absl::StrCat("resources.cpu_milli: asks for ", FormatCpus(shape.cpu_milli),
                        " per task; the largest node, ", cpu_node, ", has ", FormatCpus(cpu), " (",
                        cpu, "m)");
  }
  const auto [memory_node, memory] =
      Largest(cluster, [](const NodeSpec& node) { return node.memory_bytes; });
  if (memory < shape.memory_bytes) {
    return absl::StrCat("resources.memory_bytes: asks for ", FormatBytes(shape.memory_bytes),
                        " per task; the largest node, ", memory_node, ", has ",
                        FormatBytes(memory));
  }
  if (std::string shortage = DeviceShortage(cluster, shape); !shortage.empty()) {
    return absl::StrCat("resources.devices: ", shortage);
  }
  const std::vector<std::string> per_node = DescribeNodes(
      state, [&](NodeIndex node) { return NodeBlockers(Emptied(cluster.node(node)), shape); }, 8);
  return absl::StrCat("resources: no node has all of it at once; ", absl::StrJoin(per_node, "; "));
}

}  // namespace

absl::Status CanEverFit(const SchedulerState& state, const JobView& job) {
  if (state.cluster.num_nodes() == 0) return absl::OkStatus();
  JobView whole = job;
  whole.placed.clear();
  const int64_t need = TasksAtOnce(job);
  int64_t num_fit = 0;
  for (NodeIndex node = 0; node < state.cluster.num_indexes() && num_fit < need; ++node) {
    if (!state.cluster.IsNode(node)) continue;
    num_fit +=
        NumFitForJob(state, node, EmptyRoomOf(state.cluster.node(node)), whole, need - num_fit);
  }
  if (num_fit == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the job can never run on this fabric: ", TaskShortage(state, job.shape)));
  }
  if (num_fit < need) {
    return absl::InvalidArgumentError(
        absl::StrCat("the job can never run on this fabric: num_tasks: it ", DescribeNeed(job),
                     "; the largest that fits is ", num_fit, num_fit == 1 ? " task" : " tasks"));
  }
  if (!job.topology || !job.topology->required) return absl::OkStatus();
  const std::optional<LargestDomain> best = RoomiestDomain(
      state, whole, job.topology->level,
      [&](NodeIndex node) { return std::make_optional(EmptyRoomOf(state.cluster.node(node))); });
  if (best && best->num_tasks >= need) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the job can never run on this fabric: topology: it ", DescribeNeed(job), "; the largest ",
      LevelName(job.topology->level), best ? absl::StrCat(", ", best->name, ",") : "", " takes ",
      best ? best->num_tasks : 0, best && best->num_tasks == 1 ? " task" : " tasks",
      "; ask for fewer or make the wish preferred"));
}

absl::Status QuotaCanEverAdmit(const QueueTree& queues, const JobView& job) {
  std::vector<const DeviceAlternative*> alternatives;
  for (const DeviceAlternative& device : job.shape.devices) alternatives.push_back(&device);
  if (alternatives.empty()) alternatives.push_back(nullptr);
  const auto admission = [&](const DeviceAlternative* device, int64_t num_tasks) {
    Amounts amounts;
    Add(amounts, AmountsOf(job.shape, device), num_tasks);
    return queues.Admit(job.queue, amounts);
  };
  const int64_t need = job.gang ? TasksAtOnce(job) : 1;
  std::vector<std::string> blockers;
  int64_t most = 0;
  for (const DeviceAlternative* device : alternatives) {
    const Admission whole = admission(device, need);
    if (whole.admitted_when_idle) return absl::OkStatus();
    for (const std::string& blocker : whole.blockers) {
      if (std::find(blockers.begin(), blockers.end(), blocker) == blockers.end()) {
        blockers.push_back(blocker);
      }
    }
    int64_t low = 0, high = need;  // low is admitted
    while (high - low > 1) {
      const int64_t middle = low + (high - low) / 2;
      (admission(device, middle).admitted_when_idle ? low : high) = middle;
    }
    most = std::max(most, low);
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "the project's quota can never admit the job: ", absl::StrJoin(blockers, "; "),
      most > 0 ? absl::StrCat("; the largest it admits is ", most, most == 1 ? " task" : " tasks")
               : "; not even one task"));
}

}  // namespace oneai::fabric
