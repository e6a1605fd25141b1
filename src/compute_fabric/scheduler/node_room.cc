#include "compute_fabric/scheduler/node_room.h"

#include <algorithm>

#include "compute_fabric/scheduler/cluster/node_fit.h"

namespace oneai::fabric {
namespace {

int64_t Times(int64_t available, int64_t each, int64_t limit) {
  if (each <= 0) return limit;
  return std::min(limit, std::max<int64_t>(available, 0) / each);
}

bool IsWholeFor(const DeviceState& device, const DeviceAlternative& wanted) {
  return device.milli_free >= kWholeDevice && device.memory_free >= wanted.memory_bytes;
}

bool IsCandidate(const DeviceState& device, int32_t kind, int32_t nvlink_domain) {
  return device.kind == kind && device.healthy &&
         (nvlink_domain == kAnyDomain || device.domain == nvlink_domain);
}

// The device that a share goes to; -1: none has room.
int TightestFor(const NodeRoom& room, const NodeSpec& node, const DeviceAlternative& wanted,
                int32_t kind) {
  int best = -1;
  for (size_t i = 0; i < room.devices.size(); ++i) {
    const DeviceState& device = room.devices[i];
    if (!IsCandidate(device, kind, kAnyDomain) || device.milli_free < wanted.milli ||
        device.memory_free < DeviceMemoryOf(node.devices[i], wanted))
      continue;
    if (best < 0 || device.milli_free < room.devices[best].milli_free) best = static_cast<int>(i);
  }
  return best;
}

bool TakeDevices(NodeRoom& room, const NodeSpec& node, const DeviceAlternative& wanted,
                 int32_t kind, int share_on) {
  if (wanted.milli < kWholeDevice) {
    const int index = share_on >= 0 ? share_on : TightestFor(room, node, wanted, kind);
    if (index < 0) return false;
    room.devices[index].milli_free -= wanted.milli;
    room.devices[index].memory_free -= DeviceMemoryOf(node.devices[index], wanted);
    return room.devices[index].milli_free >= 0 && room.devices[index].memory_free >= 0;
  }
  int32_t left = wanted.count;
  for (DeviceState& device : room.devices) {
    if (left == 0) break;
    if (!IsCandidate(device, kind, kAnyDomain) || !IsWholeFor(device, wanted)) continue;
    device.milli_free = 0;
    device.memory_free = 0;
    --left;
  }
  return left == 0;
}

}  // namespace

NodeRoom RoomOf(const NodeState& node) {
  NodeRoom room{.cpu_milli = node.cpu_milli_free,
                .memory_bytes = node.memory_bytes_free,
                .num_ports = node.num_ports_free};
  room.devices.assign(node.devices.begin(), node.devices.end());
  return room;
}

void GiveBack(NodeRoom& room, const TaskRelease& release) {
  room.cpu_milli += release.cpu_milli;
  room.memory_bytes += release.memory_bytes;
  room.num_ports += release.num_ports;
  for (const TaskRelease::Device& device : release.devices) {
    room.devices[device.index].milli_free += device.milli;
    room.devices[device.index].memory_free += device.memory_bytes;
  }
}

int64_t NumFitInRoom(const NodeRoom& room, const NodeSpec& node, const TaskShape& shape,
                     const DeviceAlternative* device, int32_t kind, int64_t limit,
                     int32_t nvlink_domain) {
  limit = Times(room.cpu_milli, shape.cpu_milli, limit);
  limit = Times(room.memory_bytes, shape.memory_bytes, limit);
  limit = Times(room.num_ports, shape.num_ports, limit);
  if (device == nullptr || limit == 0) return limit;
  int64_t num = 0;
  const bool whole = device->milli >= kWholeDevice;
  for (size_t i = 0; i < room.devices.size(); ++i) {
    const DeviceState& state = room.devices[i];
    if (!IsCandidate(state, kind, nvlink_domain)) continue;
    if (whole) {
      num += IsWholeFor(state, *device) ? 1 : 0;
    } else {
      num += Times(state.memory_free, DeviceMemoryOf(node.devices[i], *device),
                   Times(state.milli_free, device->milli, limit));
    }
  }
  return whole ? Times(num, device->count, limit) : std::min(num, limit);
}

bool TakeFromRoom(NodeRoom& room, const NodeSpec& node, const TaskShape& shape,
                  const DeviceAlternative* device, int32_t kind, int64_t num, int share_on) {
  room.cpu_milli -= num * shape.cpu_milli;
  room.memory_bytes -= num * shape.memory_bytes;
  room.num_ports -= static_cast<int32_t>(num) * shape.num_ports;
  if (room.cpu_milli < 0 || room.memory_bytes < 0 || room.num_ports < 0) return false;
  if (device == nullptr) return true;
  for (int64_t i = 0; i < num; ++i) {
    if (!TakeDevices(room, node, *device, kind, share_on)) return false;
  }
  return true;
}

}  // namespace oneai::fabric
