// File: compute_fabric/node/convert.h
//
// Between the wire (proto/oneai/fabric/v1/node.proto) and the agent's own types.
#pragma once

#include "compute_fabric/node/reconcile.h"
#include "compute_fabric/node/task_environment.h"
#include "compute_fabric/node/task_table.h"
#include "oneai/fabric/v1/node.pb.h"

namespace oneai::fabric {

TaskOrder ToTaskOrder(const v1::TaskAssignment& assignment);
DesiredTasks ToDesiredTasks(const v1::HeartbeatResponse& response);
v1::TaskReport ToTaskReport(const TaskStatus& status);
v1::Device ToDevice(const DeviceInfo& device);

}  // namespace oneai::fabric
