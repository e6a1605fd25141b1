// File: compute_fabric/node/agent.h
//
// The agent's loop: poll tasks -> touch lease -> heartbeat -> admit epoch -> Reconcile -> apply.
// While the controller cannot be reached the tasks go on, except those whose attempt has a
// successor (jobs/placed_attempt.h). One thread; the heartbeat is a long poll in flight beside it,
// cut short when something changed here.
#pragma once

#include <grpcpp/channel.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>

#include "absl/random/random.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "compute_fabric/node/fencing.h"
#include "compute_fabric/node/log_shipper.h"
#include "compute_fabric/node/reconcile.h"
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
        EpochFence* epoch, AgentLease* lease, LogShipper* logs);
  ~Agent();

  // Until `stop` is set.
  void Run(const std::atomic<bool>& stop, ExitPolicy exit_policy);

 private:
  struct Call;
  void PollTasks();
  void StartHeartbeat(absl::Time now);
  void FinishHeartbeat(absl::Time now);
  void HandleFailure(const grpc::Status& status, absl::Time now);
  void Apply(absl::Time now);
  void StopSuperseded(absl::Time now);
  void StopAllTasks();

  v1::NodeInfo info_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::NodeService::Stub> stub_;
  TaskTable* const tasks_;
  EpochFence* const epoch_;
  AgentLease* const lease_;
  LogShipper* const logs_;
  const std::string incarnation_;

  absl::BitGen random_;
  std::unique_ptr<Call> call_;  // the heartbeat in flight
  bool changed_ = true;         // tasks changed since the last heartbeat began
  absl::Time next_heartbeat_ = absl::InfinitePast();
  absl::Duration retry_ = absl::ZeroDuration();
  absl::Duration max_wait_ = absl::Seconds(3);
  absl::Duration lease_length_ = absl::Seconds(5);  // after so long without us we count as lost
  absl::Time last_heard_ = absl::Now();
  absl::Time next_superseded_check_ = absl::InfinitePast();
  int64_t seen_revision_ = 0;
  DesiredTasks desired_;
  bool has_desired_ = false;  // before the first answer nothing is known about what should run
  std::map<TaskKey, v1::TaskAssignment> assignments_;
};

}  // namespace oneai::fabric
