#include "compute_fabric/first_scheduler/filter_nodes.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compute_fabric/first_scheduler/explain.h"

namespace oneai::fabric::inline first {
namespace {

int64_t Times(int64_t available, int64_t each) {
  if (each <= 0) return std::numeric_limits<int64_t>::max();
  return std::max<int64_t>(available, 0) / each;
}

int64_t NumPortsFree(const NodeSnapshot& node) {
  return node.num_ports() - static_cast<int64_t>(node.ports_used.size());
}

}  // namespace

int64_t NumDevices(const NodeSnapshot& node, const std::string& kind, bool empty) {
  return std::count_if(node.devices.begin(), node.devices.end(), [&](const DeviceSnapshot& device) {
    return device.kind == kind && (empty || (device.healthy && !device.in_use));
  });
}

int64_t NumTasksThatFit(const NodeSnapshot& node, const TaskShape& shape,
                        const DeviceAlternative* device) {
  if (!node.schedulable) return 0;
  int64_t fit = std::min({Times(node.cpu_milli_free(), shape.cpu_milli),
                          Times(node.memory_bytes_free(), shape.memory_bytes),
                          Times(NumPortsFree(node), shape.num_ports)});
  if (device != nullptr)
    fit = std::min(fit, Times(NumDevices(node, device->kind, false), device->count));
  return fit;
}

int64_t NumTasksThatFitEmpty(const NodeSnapshot& node, const TaskShape& shape,
                             const DeviceAlternative* device) {
  int64_t fit = std::min({Times(node.cpu_milli, shape.cpu_milli),
                          Times(node.memory_bytes, shape.memory_bytes),
                          Times(node.num_ports(), shape.num_ports)});
  if (device != nullptr)
    fit = std::min(fit, Times(NumDevices(node, device->kind, true), device->count));
  return fit;
}

std::vector<std::string> NodeBlockers(const NodeSnapshot& node, const TaskShape& shape) {
  std::vector<std::string> blockers;
  if (!node.schedulable) blockers.push_back(node.unschedulable_reason);
  if (node.cpu_milli_free() < shape.cpu_milli) {
    blockers.push_back(absl::StrCat(FormatCpus(node.cpu_milli_free()), " free of ",
                                    FormatCpuNumber(node.cpu_milli)));
  }
  if (node.memory_bytes_free() < shape.memory_bytes) {
    blockers.push_back(absl::StrCat(FormatBytes(node.memory_bytes_free()), " memory free of ",
                                    FormatBytes(node.memory_bytes)));
  }
  if (NumPortsFree(node) < shape.num_ports) {
    blockers.push_back(absl::StrCat(NumPortsFree(node), " ports free of ", node.num_ports()));
  }
  std::vector<std::string> devices;
  for (const DeviceAlternative& device : shape.devices) {
    const int64_t free = NumDevices(node, device.kind, false);
    if (free >= device.count) return blockers;
    const int64_t all = NumDevices(node, device.kind, true);
    devices.push_back(all == 0 ? absl::StrCat("no ", device.kind)
                               : absl::StrCat(free, " ", device.kind, " free of ", all));
  }
  if (!devices.empty()) blockers.push_back(absl::StrJoin(devices, " and "));
  return blockers;
}

}  // namespace oneai::fabric::inline first
