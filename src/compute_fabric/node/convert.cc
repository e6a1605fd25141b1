// File: compute_fabric/node/convert.cc
#include "compute_fabric/node/convert.h"

namespace oneai::fabric {
namespace {

v1::TaskState ToTaskState(TaskPhase phase) {
  switch (phase) {
    case TaskPhase::kRunning:
      return v1::TASK_RUNNING;
    case TaskPhase::kStopping:
      return v1::TASK_STOPPING;
    case TaskPhase::kExited:
    case TaskPhase::kForgotten:
      return v1::TASK_EXITED;
  }
  return v1::TASK_STATE_UNSPECIFIED;
}

}  // namespace

TaskOrder ToTaskOrder(const v1::TaskAssignment& assignment) {
  TaskOrder order;
  order.key = {assignment.job_id(), assignment.rank(), assignment.attempt()};
  order.command.assign(assignment.command().begin(), assignment.command().end());
  order.env.insert(assignment.env().begin(), assignment.env().end());
  order.cpu_milli = assignment.resources().cpu_milli();
  order.memory_bytes = assignment.resources().memory_bytes();
  order.device_ids.assign(assignment.device_ids().begin(), assignment.device_ids().end());
  for (const v1::DeviceGrant& grant : assignment.grants()) {
    order.shares.push_back({grant.id(), grant.milli(), grant.memory_bytes()});
  }
  order.ports.assign(assignment.ports().begin(), assignment.ports().end());
  order.grace_ms = assignment.grace_ms();
  order.config_json = assignment.config_json();
  order.ca_pem = assignment.ca_pem();
  order.certificate_pem = assignment.certificate_pem();
  order.private_key_pem = assignment.private_key_pem();
  order.disk_bytes = assignment.disk_bytes();
  order.processes_max = assignment.processes_max();
  return order;
}

DesiredTasks ToDesiredTasks(const v1::HeartbeatResponse& response) {
  DesiredTasks desired;
  for (const v1::TaskAssignment& task : response.desired()) {
    desired.run.push_back({task.job_id(), task.rank(), task.attempt()});
  }
  for (const v1::TaskName& task : response.forget()) {
    desired.forget.push_back({task.job_id(), task.rank(), task.attempt()});
  }
  return desired;
}

v1::TaskReport ToTaskReport(const TaskStatus& status) {
  v1::TaskReport report;
  report.set_job_id(status.key.job_id);
  report.set_rank(status.key.rank);
  report.set_attempt(status.key.attempt);
  report.set_state(ToTaskState(status.phase));
  report.set_ready(status.ready);
  report.set_exit_code(status.exit.exit_code);
  report.set_signal(status.exit.signal);
  report.set_message(status.exit.message);
  report.set_started_unix_ms(status.exit.started_unix_ms);
  report.set_ended_unix_ms(status.exit.ended_unix_ms);
  return report;
}

v1::Device ToDevice(const DeviceInfo& device) {
  v1::Device wire;
  wire.set_id(device.id);
  wire.set_kind(device.kind);
  wire.set_name(device.name);
  wire.set_memory_bytes(device.memory_bytes);
  wire.set_emulated(device.emulated);
  wire.set_healthy(device.healthy);
  wire.set_health_message(device.health_message);
  return wire;
}

}  // namespace oneai::fabric
