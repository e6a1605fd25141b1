// File: compute_fabric/node/agent.h
//
// The agent's loop around its session (agent_session.h): touch lease -> poll tasks -> heartbeat ->
// apply. While the controller cannot be reached the tasks go on, except those whose attempt has a
// successor (jobs/placed_attempt.h). One thread; the heartbeat is a long poll in flight beside it,
// cut short when something changed here.
#pragma once

#include <grpcpp/channel.h>

#include <atomic>
#include <memory>
#include <string>

#include "absl/random/random.h"
#include "absl/time/time.h"
#include "compute_fabric/node/agent_session.h"
#include "compute_fabric/node/fencing.h"
#include "compute_fabric/node/health_monitor.h"
#include "compute_fabric/node/log_shipper.h"
#include "compute_fabric/node/task_table.h"
#include "oneai/fabric/v1/node.grpc.pb.h"

namespace oneai::fabric {

// What happens to the tasks when the agent is told to exit. Stopped ones are forgotten, not
// reported: the controller then counts them as lost with their node.
enum class ExitPolicy { kLeaveTasks, kStopTasks };

// Thread-compatible. All pointers must outlive it.
class Agent {
 public:
  Agent(v1::NodeInfo info, std::shared_ptr<grpc::Channel> channel, TaskTable* tasks,
        EpochFence* epoch, AgentLease* lease, LogShipper* logs, HealthMonitor* health);
  ~Agent();

  // Until `stop` is set.
  void Run(const std::atomic<bool>& stop, ExitPolicy exit_policy);

 private:
  struct Call;
  class ShippedOutput;
  void Send(v1::HeartbeatRequest request);
  void FinishHeartbeat(absl::Time now);
  void HandleFailure(const grpc::Status& status, absl::Time now);
  void StopAllTasks();

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::NodeService::Stub> stub_;
  TaskTable* const tasks_;
  AgentLease* const lease_;
  LogShipper* const logs_;
  HealthMonitor* const health_;
  const std::unique_ptr<ShippedOutput> output_;
  AgentSession session_;

  absl::BitGen random_;
  std::unique_ptr<Call> call_;  // the heartbeat in flight
};

}  // namespace oneai::fabric
