// File: compute_fabric/scheduler/node_room.h
//
// What is free on one node at some instant ahead: a small value that backfill gives to and takes
// from without touching the cluster's own state.
#pragma once

#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "compute_fabric/scheduler/cluster/cluster_state.h"
#include "compute_fabric/scheduler/cluster/task_releases.h"
#include "compute_fabric/scheduler/job.h"

namespace oneai::fabric {

struct NodeRoom {
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  int32_t num_ports = 0;
  absl::InlinedVector<DeviceState, 8> devices;  // parallel to NodeSpec::devices
};

NodeRoom RoomOf(const NodeState& node);

void GiveBack(NodeRoom& room, const TaskRelease& release);

// Tasks of `shape` with `device` that fit together, at most `limit`. `kind` is the interned
// device->kind; selector and service state are not looked at.
int64_t NumFitInRoom(const NodeRoom& room, const NodeSpec& node, const TaskShape& shape,
                     const DeviceAlternative* device, int32_t kind, int64_t limit,
                     int32_t nvlink_domain = kAnyDomain);

// Takes `num` tasks, whole devices from the lowest index, shares from the device with least left.
// `share_on`: for a share, the device to take instead (-1: choose). False: they do not fit, and
// the room is of no use any more.
bool TakeFromRoom(NodeRoom& room, const NodeSpec& node, const TaskShape& shape,
                  const DeviceAlternative* device, int32_t kind, int64_t num, int share_on = -1);

}  // namespace oneai::fabric
