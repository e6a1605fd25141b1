#include "compute_fabric/scheduler/cluster/node_fit.h"

#include <algorithm>

namespace oneai::fabric {
namespace {

// How often `each` goes into `available`, at most `limit`.
int64_t Times(int64_t available, int64_t each, int64_t limit) {
  if (each <= 0) return limit;
  return std::min(limit, std::max<int64_t>(available, 0) / each);
}

bool IsCandidate(const DeviceState& device, int32_t kind, int32_t nvlink_domain) {
  return device.kind == kind && device.healthy &&
         (nvlink_domain == kAnyDomain || device.domain == nvlink_domain);
}

// Whole devices are free of everybody; the memory asked for is a least amount of theirs.
bool IsFreeWhole(const DeviceState& device, const DeviceAlternative& wanted) {
  return device.milli_free >= kWholeDevice && device.memory_free >= wanted.memory_bytes;
}

int64_t NumDeviceFit(const NodeState& node, const DeviceAlternative& wanted, int32_t kind,
                     int64_t limit, int32_t nvlink_domain) {
  int64_t num = 0;
  const bool whole = wanted.milli >= kWholeDevice;
  for (size_t i = 0; i < node.devices.size(); ++i) {
    const DeviceState& device = node.devices[i];
    if (!IsCandidate(device, kind, nvlink_domain)) continue;
    if (whole) {
      num += IsFreeWhole(device, wanted) ? 1 : 0;
    } else {
      num += Times(device.memory_free, DeviceMemoryOf(node.spec.devices[i], wanted),
                   Times(device.milli_free, wanted.milli, limit));
    }
  }
  return whole ? Times(num, wanted.count, limit) : std::min(num, limit);
}

struct DomainRoom {
  int32_t domain = 0;
  int32_t num_free = 0;
};

// Free whole devices by NVLink domain of the node, in the order the devices are listed.
absl::InlinedVector<DomainRoom, 4> RoomByDomain(const NodeState& node,
                                                const DeviceAlternative& wanted, int32_t kind,
                                                int32_t nvlink_domain) {
  absl::InlinedVector<DomainRoom, 4> rooms;
  for (const DeviceState& device : node.devices) {
    if (!IsCandidate(device, kind, nvlink_domain) || !IsFreeWhole(device, wanted)) continue;
    auto room = std::find_if(rooms.begin(), rooms.end(),
                             [&](const DomainRoom& r) { return r.domain == device.domain; });
    if (room == rooms.end()) room = rooms.insert(rooms.end(), {device.domain, 0});
    ++room->num_free;
  }
  return rooms;
}

DeviceIndexes ChooseWhole(const NodeState& node, const DeviceAlternative& wanted, int32_t kind,
                          int32_t nvlink_domain) {
  absl::InlinedVector<DomainRoom, 4> rooms = RoomByDomain(node, wanted, kind, nvlink_domain);
  std::stable_sort(rooms.begin(), rooms.end(), [&](const DomainRoom& a, const DomainRoom& b) {
    const bool a_enough = a.num_free >= wanted.count;
    const bool b_enough = b.num_free >= wanted.count;
    if (a_enough != b_enough) return a_enough;
    return a_enough ? a.num_free < b.num_free : a.num_free > b.num_free;
  });
  DeviceIndexes chosen;
  for (const DomainRoom& room : rooms) {
    for (size_t i = 0; i < node.devices.size(); ++i) {
      if (static_cast<int32_t>(chosen.size()) == wanted.count) break;
      const DeviceState& device = node.devices[i];
      if (device.domain == room.domain && IsCandidate(device, kind, nvlink_domain) &&
          IsFreeWhole(device, wanted)) {
        chosen.push_back(static_cast<int32_t>(i));
      }
    }
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace

bool MatchesSelector(const NodeSpec& node, const std::map<std::string, std::string>& selector) {
  return std::all_of(selector.begin(), selector.end(), [&](const auto& wanted) {
    const auto label = node.labels.find(wanted.first);
    return label != node.labels.end() && label->second == wanted.second;
  });
}

int64_t DeviceMemoryOf(const DeviceSpec& device, const DeviceAlternative& wanted) {
  if (wanted.memory_bytes > 0) return wanted.memory_bytes;
  return device.memory_bytes / kWholeDevice * wanted.milli;
}

int64_t NumFitOnNode(const NodeState& node, const TaskShape& shape, const DeviceAlternative* device,
                     int32_t kind, int64_t limit, int32_t nvlink_domain) {
  limit = Times(node.cpu_milli_free, shape.cpu_milli, limit);
  limit = Times(node.memory_bytes_free, shape.memory_bytes, limit);
  limit = Times(node.num_ports_free, shape.num_ports, limit);
  if (device == nullptr || limit == 0) return limit;
  if (kind < 0) return 0;
  return NumDeviceFit(node, *device, kind, limit, nvlink_domain);
}

int64_t NumFitOnEmptyNode(const NodeState& node, const TaskShape& shape,
                          const DeviceAlternative* device) {
  int64_t limit = std::numeric_limits<int32_t>::max();
  limit = Times(node.spec.cpu_milli, shape.cpu_milli, limit);
  limit = Times(node.spec.memory_bytes, shape.memory_bytes, limit);
  limit = Times(int64_t{node.spec.port_last} - node.spec.port_first + 1, shape.num_ports, limit);
  if (device == nullptr || !MatchesSelector(node.spec, shape.node_selector)) {
    return MatchesSelector(node.spec, shape.node_selector) ? limit : 0;
  }
  int64_t num = 0;
  for (const DeviceSpec& spec : node.spec.devices) {
    if (spec.kind != device->kind) continue;
    if (device->milli >= kWholeDevice) {
      num += spec.memory_bytes >= device->memory_bytes ? 1 : 0;
    } else {
      num += Times(spec.memory_bytes, DeviceMemoryOf(spec, *device), kWholeDevice / device->milli);
    }
  }
  return std::min(limit, device->milli >= kWholeDevice ? Times(num, device->count, limit) : num);
}

DeviceIndexes ChooseDevices(const NodeState& node, const DeviceAlternative& device, int32_t kind,
                            const DeviceChoice& choice) {
  if (device.milli >= kWholeDevice) return ChooseWhole(node, device, kind, choice.domain);
  const auto has_room = [&](size_t i) {
    return IsCandidate(node.devices[i], kind, choice.domain) &&
           node.devices[i].milli_free >= device.milli &&
           node.devices[i].memory_free >= DeviceMemoryOf(node.spec.devices[i], device);
  };
  if (choice.device >= 0 && static_cast<size_t>(choice.device) < node.devices.size() &&
      has_room(static_cast<size_t>(choice.device))) {
    return {choice.device};
  }
  int32_t best = -1;
  for (size_t i = 0; i < node.devices.size(); ++i) {
    if (has_room(i) && (best < 0 || node.devices[i].milli_free < node.devices[best].milli_free)) {
      best = static_cast<int32_t>(i);
    }
  }
  return best < 0 ? DeviceIndexes{} : DeviceIndexes{best};
}

}  // namespace oneai::fabric
