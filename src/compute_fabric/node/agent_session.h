// File: compute_fabric/node/agent_session.h
//
// What an agent says and does, without its wires:
//
//   poll tasks -> report -> (the wire) -> answered -> admit epoch -> Reconcile -> apply
//
// No clock, thread, socket or process is in here. agent.h brings real ones; the simulation
// (compute_fabric/simulation) runs this very code on simulated ones.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "compute_fabric/node/node_tasks.h"
#include "oneai/fabric/v1/node.pb.h"

namespace oneai::fabric {

// Thread-compatible. The pointers must outlive it.
class AgentSession {
 public:
  AgentSession(v1::NodeInfo info, std::string incarnation, NodeTasks* tasks, EpochGate* epoch,
               TaskOutput* output)
      : info_(std::move(info)),
        incarnation_(std::move(incarnation)),
        tasks_(tasks),
        epoch_(epoch),
        output_(output) {}

  // Looks at the tasks, without waiting.
  void Poll(absl::Time now);
  // Does what the last answer still asks for: an attempt that waited for its predecessor's end
  // starts now. Cut off for a lease's length, stops what has a successor (jobs/placed_attempt.h).
  void Advance(absl::Time now);

  // When the next heartbeat is due, unless one is in flight.
  absl::Time next_heartbeat() const { return next_heartbeat_; }
  // How long the controller may keep it.
  absl::Duration max_wait() const { return max_wait_; }
  // The heartbeat to send. Answered or Failed follows, or neither: it was cut short.
  v1::HeartbeatRequest Report(absl::Time now);
  // Something has changed since: the one in flight should be cut short.
  bool changed() const { return changed_; }

  // The node's own checks from now on, and which devices are broken (id -> why); the others are
  // healthy. Call it only when something has changed: it cuts the heartbeat in flight short.
  void SetHealth(std::vector<v1::HealthCheck> checks,
                 const std::map<std::string, std::string>& broken_devices);

  // An answer that comes two leases after it was asked for (this process was suspended meanwhile)
  // is ignored: the node counts as lost by then, and its tasks may have successors.
  void Answered(v1::HeartbeatResponse response, absl::Time now);
  // `jitter` in [0, 1) keeps the nodes of a restarted controller from coming back in step. True:
  // the first failure after a success, worth a line in the log.
  bool Failed(absl::Time now, double jitter);

  // Tells the controller that this is the last word: it need not wait.
  v1::HeartbeatRequest Farewell(absl::Time now);

 private:
  void NoticeClock(absl::Time now);
  bool IsStale(absl::Time asked, absl::Time now) const;
  void Apply(absl::Time now);
  void StopSuperseded(absl::Time now);

  v1::NodeInfo info_;
  const std::string incarnation_;
  NodeTasks* const tasks_;
  EpochGate* const epoch_;
  TaskOutput* const output_;

  std::vector<v1::HealthCheck> checks_;
  bool changed_ = true;                       // tasks changed since the last heartbeat began
  absl::Time latest_ = absl::InfinitePast();  // the clock when last seen
  absl::Time next_heartbeat_ = absl::InfinitePast();
  absl::Duration retry_ = absl::ZeroDuration();
  absl::Duration max_wait_ = absl::Seconds(3);
  absl::Duration lease_length_ = absl::Seconds(5);  // after so long without us we count as lost
  // A new agent has heard nobody: what it adopts may have been given up meanwhile.
  absl::Time last_heard_ = absl::InfinitePast();
  absl::Time next_superseded_check_ = absl::InfinitePast();
  absl::Time asked_ = absl::InfinitePast();          // when the latest heartbeat was sent
  absl::Time desired_asked_ = absl::InfinitePast();  // when that was sent which brought `desired_`
  int64_t seen_revision_ = 0;
  DesiredTasks desired_;
  bool has_desired_ = false;  // before the first answer nothing is known about what should run
  std::map<TaskKey, v1::TaskAssignment> assignments_;
};

}  // namespace oneai::fabric
