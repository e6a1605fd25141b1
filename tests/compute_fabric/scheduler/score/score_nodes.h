// Nodes and tasks for tests of the score policies.
#pragma once

#include <string>
#include <vector>

#include "compute_fabric/scheduler/score/score.h"

namespace oneai::fabric {

// A node with one device for each entry of `left` (milli).
inline NodeState NodeWith(int64_t cpu_milli, const std::vector<int32_t>& left,
                          const std::string& kind = "gpu") {
  NodeState node;
  node.cpu_milli_free = cpu_milli;
  for (int32_t milli : left) {
    DeviceSpec spec;
    spec.id = std::to_string(node.devices.size());
    spec.kind = kind;
    node.spec.devices.push_back(spec);
    DeviceState device;
    device.milli_free = milli;
    node.devices.push_back(device);
  }
  return node;
}

// A task with `count` devices of `milli` each, of any of `kinds`; count 0: CPU only.
inline TaskShape TaskOf(int64_t cpu_milli, int32_t count, int32_t milli = kWholeDevice,
                        const std::vector<std::string>& kinds = {"gpu"}) {
  TaskShape shape;
  shape.cpu_milli = cpu_milli;
  for (const std::string& kind : kinds) {
    if (count == 0) break;
    DeviceAlternative device;
    device.kind = kind;
    device.count = count;
    device.milli = milli;
    shape.devices.push_back(device);
  }
  return shape;
}

inline NodeScore ScoreOn(const Scorer& scorer, const NodeState& node, const TaskShape& task) {
  return scorer.Score(node, task, task.devices.empty() ? nullptr : &task.devices[0]);
}

}  // namespace oneai::fabric
