// File: compute_fabric/controller/node_sessions.h
//
// The controller's side of the agents: heartbeats, leases, captured output.
//
//   heartbeat -> renew lease -> record node -> apply reports -> wait for a change -> desired tasks
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/auth/access.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/hooks.h"
#include "compute_fabric/controller/node_health.h"
#include "compute_fabric/controller/node_upkeep.h"
#include "compute_fabric/joblog/log_store.h"
#include "compute_fabric/joblog/metric_store.h"

namespace oneai::fabric {

// Thread-safe. The pointers must outlive it.
class NodeSessions {
 public:
  NodeSessions(FabricState* state, const ControllerHooks* hooks, const ControllerOptions* options,
               LogStore* logs, MetricStore* metrics)
      : state_(state),
        hooks_(hooks),
        options_(options),
        logs_(logs),
        metrics_(metrics),
        upkeep_(state, metrics) {}

  // Gives every known node a fresh lease: nobody is judged by the time that the controller was
  // away.
  void Start();

  // See NodeService.Heartbeat; the caller has proved to be node `request.node().name()`. Returns
  // early when `cancelled` says so (asked a few times a second). InvalidArgument: the node's
  // description is wrong. FailedPrecondition: another incarnation holds the name.
  absl::StatusOr<v1::HeartbeatResponse> Heartbeat(const v1::HeartbeatRequest& request,
                                                  absl::FunctionRef<bool()> cancelled);

  // Heartbeat in its parts, for a caller that waits by itself (compute_fabric/simulation): OK from
  // Begin is followed by exactly one Respond or Abandon, when HasNews or the wait is over.
  absl::Status Begin(const v1::HeartbeatRequest& request);
  bool HasNews(const v1::HeartbeatRequest& request) const;
  absl::Duration WaitFor(const v1::HeartbeatRequest& request) const;
  absl::StatusOr<v1::HeartbeatResponse> Respond(const v1::HeartbeatRequest& request);
  void Abandon(const v1::HeartbeatRequest& request) { Leave(request.node().name()); }

  // See NodeService.AppendLog; `node` is the caller (SpeaksForNode). PermissionDenied: the task
  // runs on another node.
  absl::StatusOr<v1::AppendLogResponse> AppendLog(const v1::AppendLogRequest& request,
                                                  const std::string& node);

  // See NodeService.SetNodeSchedulable.
  absl::StatusOr<v1::Node> SetSchedulable(const v1::SetNodeSchedulableRequest& request,
                                          const Identity& caller);

  // With use and last heartbeat. NotFound.
  absl::StatusOr<v1::Node> Get(const std::string& name) const;
  std::vector<v1::Node> List() const;

  // What is to be done for the nodes in every round of the schedule loop, whose thread calls it.
  absl::Status Upkeep(absl::Time now) { return upkeep_.Step(now); }

  // When the node was last heard; a node never heard counts from Start().
  absl::Time LastHeartbeat(const std::string& node) const;
  // Moves all leases by `by`: the controller itself was not running for that long.
  void ExtendLeases(absl::Duration by);

 private:
  struct Session {
    std::string incarnation;
    std::set<std::string> superseded;
    int num_in_flight = 0;
    absl::Time last_heartbeat;
  };

  absl::Status Enter(const std::string& name, const std::string& incarnation);
  void Leave(const std::string& name);
  // Tasks that run on the node although their record has given them up.
  int NumGivenUp(const v1::HeartbeatRequest& request) const;
  absl::Status RecordNode(const v1::HeartbeatRequest& request);
  absl::Status ApplyReports(const v1::HeartbeatRequest& request);
  void WaitForWork(const v1::HeartbeatRequest& request, absl::FunctionRef<bool()> cancelled) const;
  absl::StatusOr<v1::HeartbeatResponse> Answer(const v1::HeartbeatRequest& request);
  absl::StatusOr<v1::TaskAssignment> Assign(const v1::Job& job, const v1::Task& task);
  absl::Status TakeEvents(const v1::TaskName& task, const std::vector<ReportedEvent>& events);
  v1::Node Describe(const v1::Node& node, const std::vector<JobRecord>& jobs) const;

  FabricState* const state_;
  const ControllerHooks* const hooks_;
  const ControllerOptions* const options_;
  LogStore* const logs_;
  MetricStore* const metrics_;
  const HealthLimits health_limits_;
  NodeUpkeep upkeep_;

  mutable absl::Mutex mu_;
  std::map<std::string, Session> sessions_ ABSL_GUARDED_BY(mu_);
  absl::Time started_ ABSL_GUARDED_BY(mu_);
  // Made once per task and never stored: an agent that asks again gets the same.
  std::map<std::string, TaskIdentity> identities_ ABSL_GUARDED_BY(mu_);
};

// InvalidArgument for the first wrong field.
absl::Status ValidateNodeInfo(const v1::NodeInfo& info);

}  // namespace oneai::fabric
