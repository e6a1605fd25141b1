#include "compute_fabric/scheduler/node_blockers.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compute_fabric/scheduler/cluster/node_fit.h"
#include "compute_fabric/scheduler/describe.h"

namespace oneai::fabric {
namespace {

constexpr size_t kGroupsMax = 6;

// Whole devices of a kind: all, and those that a task may take now.
std::pair<int64_t, int64_t> CountWhole(const NodeState& node, const DeviceAlternative& wanted) {
  int64_t all = 0, free = 0;
  for (size_t i = 0; i < node.devices.size(); ++i) {
    if (node.spec.devices[i].kind != wanted.kind) continue;
    ++all;
    const DeviceState& device = node.devices[i];
    if (device.healthy && device.milli_free >= kWholeDevice &&
        device.memory_free >= wanted.memory_bytes)
      ++free;
  }
  return {all, free};
}

// The largest share that one device of the kind has left.
int64_t MostLeft(const NodeState& node, const DeviceAlternative& wanted) {
  int64_t most = 0;
  for (size_t i = 0; i < node.devices.size(); ++i) {
    const DeviceState& device = node.devices[i];
    if (node.spec.devices[i].kind != wanted.kind || !device.healthy) continue;
    if (device.memory_free < DeviceMemoryOf(node.spec.devices[i], wanted)) continue;
    most = std::max<int64_t>(most, device.milli_free);
  }
  return most;
}

// nullopt: the alternative is there.
std::optional<NodeBlocker> DeviceBlocker(const NodeState& node, const DeviceAlternative& wanted) {
  const auto [all, free] = CountWhole(node, wanted);
  if (all == 0) {
    const std::string none = absl::StrCat("no ", wanted.kind);
    return NodeBlocker{none, none};
  }
  if (wanted.milli < kWholeDevice) {
    const int64_t most = MostLeft(node, wanted);
    if (most >= wanted.milli) return std::nullopt;
    return NodeBlocker{
        absl::StrCat("at most ", FormatCpuNumber(most), " of a ", wanted.kind, " free, of ", all),
        absl::StrCat("less than ", DescribeDevice(wanted), " free"), most};
  }
  if (free >= wanted.count) return std::nullopt;
  const bool too_small = all < wanted.count;
  return NodeBlocker{
      absl::StrCat(free, " of ", all, " ", wanted.kind, " free"),
      too_small ? absl::StrCat("fewer than ", wanted.count, " ", wanted.kind, " in all")
                : absl::StrCat("fewer than ", wanted.count, " of ", all, " ", wanted.kind, " free"),
      free};
}

void AddDeviceBlockers(const NodeState& node, const TaskShape& shape,
                       std::vector<NodeBlocker>& blockers) {
  std::vector<NodeBlocker> devices;
  for (const DeviceAlternative& wanted : shape.devices) {
    std::optional<NodeBlocker> blocker = DeviceBlocker(node, wanted);
    if (!blocker) return;
    devices.push_back(*std::move(blocker));
  }
  if (devices.empty()) return;
  NodeBlocker all = devices[0];
  for (size_t i = 1; i < devices.size(); ++i) {
    absl::StrAppend(&all.exact, " and ", devices[i].exact);
    absl::StrAppend(&all.coarse, " and ", devices[i].coarse);
    all.has = std::max(all.has, devices[i].has);
  }
  blockers.push_back(std::move(all));
}

// The part of a reason that nodes share: "cordoned" of "cordoned: disk swap".
std::string KindOfReason(const std::string& reason) {
  return reason.substr(0, std::min(reason.find(':'), reason.find(" until ")));
}

struct Group {
  std::string text;
  int64_t num_nodes = 0;
  int64_t most = -1;
  std::string best;  // node
};

std::string JoinTexts(const std::vector<NodeBlocker>& blockers, std::string NodeBlocker::*text) {
  return absl::StrJoin(blockers, ", ", [&](std::string* out, const NodeBlocker& blocker) {
    absl::StrAppend(out, blocker.*text);
  });
}

std::vector<Group> LargestFirst(std::map<std::string, Group> by_text) {
  std::vector<Group> groups;
  for (auto& [text, group] : by_text) groups.push_back(std::move(group));
  std::stable_sort(groups.begin(), groups.end(),
                   [](const Group& a, const Group& b) { return a.num_nodes > b.num_nodes; });
  return groups;
}

}  // namespace

std::vector<NodeBlocker> NodeBlockers(const NodeState& node, const TaskShape& shape) {
  std::vector<NodeBlocker> blockers;
  if (!node.schedulable()) {
    blockers.push_back(
        {node.spec.unschedulable_reason, KindOfReason(node.spec.unschedulable_reason)});
  }
  for (const auto& [name, value] : shape.node_selector) {
    const auto label = node.spec.labels.find(name);
    if (label != node.spec.labels.end() && label->second == value) continue;
    const std::string lacks = absl::StrCat("not ", name, "=", value);
    blockers.push_back({lacks, lacks});
  }
  AddDeviceBlockers(node, shape, blockers);
  if (node.cpu_milli_free < shape.cpu_milli) {
    blockers.push_back({absl::StrCat(FormatCpus(node.cpu_milli_free), " free of ",
                                     FormatCpuNumber(node.spec.cpu_milli)),
                        absl::StrCat("fewer than ", FormatCpus(shape.cpu_milli), " free"),
                        node.cpu_milli_free});
  }
  if (node.memory_bytes_free < shape.memory_bytes) {
    blockers.push_back({absl::StrCat(FormatBytes(node.memory_bytes_free), " memory free of ",
                                     FormatBytes(node.spec.memory_bytes)),
                        absl::StrCat("less than ", FormatBytes(shape.memory_bytes), " memory free"),
                        node.memory_bytes_free});
  }
  if (node.num_ports_free < shape.num_ports) {
    blockers.push_back({absl::StrCat(node.num_ports_free, " ports free of ",
                                     node.spec.port_last - node.spec.port_first + 1),
                        absl::StrCat("fewer than ", shape.num_ports, " ports free"),
                        node.num_ports_free});
  }
  return blockers;
}

std::vector<std::string> DescribeNodes(const SchedulerState& state, BlockersOf blockers_of,
                                       int64_t lines_max) {
  struct Blocked {
    const std::string* node;
    std::vector<NodeBlocker> blockers;
  };
  std::vector<Blocked> blocked;
  for (NodeIndex node = 0; node < state.cluster.num_indexes(); ++node) {
    if (!state.cluster.IsNode(node)) continue;
    std::vector<NodeBlocker> blockers = blockers_of(node);
    if (!blockers.empty()) {
      blocked.push_back({&state.cluster.node(node).spec.name, std::move(blockers)});
    }
  }
  std::sort(blocked.begin(), blocked.end(),
            [](const Blocked& a, const Blocked& b) { return *a.node < *b.node; });
  std::vector<std::string> lines;
  if (static_cast<int64_t>(blocked.size()) <= lines_max) {
    for (const Blocked& node : blocked) {
      lines.push_back(
          absl::StrCat(*node.node, ": ", JoinTexts(node.blockers, &NodeBlocker::exact)));
    }
    return lines;
  }
  const auto group_by = [&](std::string NodeBlocker::*text) {
    std::map<std::string, Group> by_text;
    for (const Blocked& node : blocked) {
      Group& group = by_text[JoinTexts(node.blockers, text)];
      if (group.num_nodes++ == 0) group.text = JoinTexts(node.blockers, text);
      if (node.blockers[0].has > group.most) {
        group.most = node.blockers[0].has;
        group.best = absl::StrCat(*node.node, ": ", node.blockers[0].exact);
      }
    }
    return LargestFirst(std::move(by_text));
  };
  std::vector<Group> groups = group_by(&NodeBlocker::exact);
  const bool exact = groups.size() <= kGroupsMax;
  if (!exact) groups = group_by(&NodeBlocker::coarse);
  int64_t num_left = 0;
  const std::string of_all =
      absl::StrCat(" of ", FormatNumber(state.cluster.num_nodes()), " nodes");
  for (size_t i = 0; i < groups.size(); ++i) {
    const Group& group = groups[i];
    if (i >= kGroupsMax) {
      num_left += group.num_nodes;
      continue;
    }
    lines.push_back(absl::StrCat(
        "on ", FormatNumber(group.num_nodes), i == 0 ? of_all : "", ": ", group.text,
        exact || group.best.empty() ? "" : absl::StrCat(" (the best, ", group.best, ")")));
  }
  if (num_left > 0) {
    lines.push_back(absl::StrCat("on ", FormatNumber(num_left), ": other reasons"));
  }
  return lines;
}

}  // namespace oneai::fabric
