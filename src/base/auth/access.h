// File: base/auth/access.h
//
// Roles and what they may do, as a pure decision: default deny. Who the caller is comes from
// authenticator.h.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "oneai/auth/v1/auth.pb.h"

namespace oneai {

struct Identity {
  common::v1::Principal principal;
  std::vector<auth::v1::RoleBinding> bindings;
};

// Things that can be asked for. One enumerator per kind of right, not per RPC.
enum class Permission {
  kViewFabric,  // jobs, nodes, endpoints, events, logs, metrics
  kSubmitJob,
  kCancelJob,
  kDeployEndpoint,
  kManageNodes,  // cordon, drain
  kManageQueues,
  kViewModels,
  kRegisterModel,
  kViewData,  // catalog entries, not contents
  kRegisterData,
  kOpenData,  // contents: policy decides on top
  kManagePolicy,
  kViewAudit,
  kManageTokens,
  kInfer,    // call endpoints
  kAgent,    // heartbeat, logs: node certificates only
  kGateway,  // authenticate strangers, report usage: the gateway's certificate only
};

// The unit of what belongs to the whole fabric (nodes, quota, policy for all): only a role in every
// unit covers it. As a binding's unit it covers all.
inline constexpr absl::string_view kEveryUnit = "*";

// OK, or PermissionDenied in words: who, what, on which unit, and the role that would allow it.
// `business_unit` is the unit of the object; kEveryUnit when it is the fabric's; empty when a role
// in any unit will do, as for looking at things without an owner. Jobs act with their submitter's
// rights minus management.
absl::Status CheckPermission(const Identity& caller, Permission permission,
                             absl::string_view business_unit);

// Whether the holder of a node's certificate may speak for `node`: it is that node, or a pool that
// brings it ("slurm.*" speaks for "slurm.n1"; no node's own name contains a star).
bool SpeaksForNode(absl::string_view certified_name, absl::string_view node);

// The table behind it, for tests and the dashboard: does `role` carry `permission`?
bool RoleAllows(auth::v1::Role role, Permission permission);

}  // namespace oneai
