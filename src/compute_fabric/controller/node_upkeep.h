// File: compute_fabric/controller/node_upkeep.h
//
// The shell around node_health, node_drain and straggler: what the schedule loop does for nodes in
// every round.
//
//   stragglers -> maintenance windows -> drains (jobs move, empty nodes are DRAINED) -> extra
//   replicas go -> spares
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/node_health.h"
#include "compute_fabric/controller/straggler.h"
#include "compute_fabric/joblog/metric_store.h"

namespace oneai::fabric {

// Thread-compatible: the schedule loop's. The pointers must outlive it.
class NodeUpkeep {
 public:
  NodeUpkeep(FabricState* state, MetricStore* metrics) : state_(state), metrics_(metrics) {}

  // One round. An error leaves the rest for the next one; what was committed stands.
  absl::Status Step(absl::Time now);

 private:
  absl::Status KeepWindows(absl::Time now);
  absl::Status DrainNodes(absl::Time now);
  absl::Status DrainNode(const v1::Node& node, absl::Time now);
  absl::Status EndSurges();
  absl::Status ChangeSpares();
  absl::Status LookForStragglers(absl::Time now);
  absl::Status LookForStragglers(const v1::Job& job, absl::Time now);

  FabricState* const state_;
  MetricStore* const metrics_;
  const StragglerPolicy straggler_policy_;
  const HealthLimits health_limits_;
  absl::Time next_straggler_look_ = absl::InfinitePast();
};

}  // namespace oneai::fabric
