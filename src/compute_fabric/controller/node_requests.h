// File: compute_fabric/controller/node_requests.h
//
// What SREs ask of nodes: drain, labels, spares, and nodes over time. Each checks the caller's
// rights, tells the audit sink, and is durable when OK. See NodeService in node.proto.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/auth/access.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/hooks.h"

namespace oneai::fabric {

// Thread-safe. The pointers must outlive it.
class NodeRequests {
 public:
  NodeRequests(FabricState* state, const ControllerHooks* hooks) : state_(state), hooks_(hooks) {}

  // OK: the node is draining; what runs there leaves it from now on.
  absl::Status Drain(const v1::DrainNodeRequest& request, const Identity& caller);
  absl::Status SetLabels(const v1::SetNodeLabelsRequest& request, const Identity& caller);
  absl::Status SetSpare(const v1::SetNodeSpareRequest& request, const Identity& caller);

  absl::StatusOr<v1::Reservation> CreateReservation(const v1::Reservation& wanted,
                                                    const Identity& caller);
  // By start.
  std::vector<v1::Reservation> ListReservations() const;
  absl::Status DeleteReservation(const std::string& name, const Identity& caller);

 private:
  absl::StatusOr<v1::Reservation> Complete(v1::Reservation wanted, const Identity& caller) const;
  absl::Status CheckReservationRights(const v1::Reservation& reservation,
                                      const Identity& caller) const;
  // Runs `change` on a node that exists, for a caller who may manage nodes.
  absl::Status Change(const std::string& action, const std::string& name, const Identity& caller,
                      oneai::fabric::Change<v1::Node> change);
  absl::Status Audited(const std::string& action, const std::string& resource,
                       const Identity& caller, absl::Status outcome) const;

  FabricState* const state_;
  const ControllerHooks* const hooks_;
};

}  // namespace oneai::fabric
