#include "base/auth/access.h"

#include <initializer_list>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace oneai {
namespace {

using auth::v1::Role;
using common::v1::Principal;

bool IsOneOf(Permission permission, std::initializer_list<Permission> set) {
  for (const Permission candidate : set) {
    if (candidate == permission) return true;
  }
  return false;
}

bool ViewerAllows(Permission permission) {
  return IsOneOf(permission,
                 {Permission::kViewFabric, Permission::kViewModels, Permission::kViewData});
}

// Rights of a job are its submitter's, cut down to these: work, and nothing that manages.
bool JobMayHave(Permission permission) {
  return ViewerAllows(permission) ||
         IsOneOf(permission,
                 {Permission::kOpenData, Permission::kRegisterModel, Permission::kInfer});
}

bool ComponentAllows(absl::string_view name, Permission permission) {
  if (name == "gateway" && permission == Permission::kGateway) return true;
  return IsOneOf(permission,
                 {Permission::kViewFabric, Permission::kViewModels, Permission::kInfer});
}

bool NodeAllows(Permission permission) {
  return IsOneOf(permission, {Permission::kAgent, Permission::kViewFabric});
}

absl::string_view ActionOf(Permission permission) {
  switch (permission) {
    case Permission::kViewFabric:
      return "view jobs, nodes and endpoints";
    case Permission::kSubmitJob:
      return "submit jobs";
    case Permission::kCancelJob:
      return "cancel jobs";
    case Permission::kDeployEndpoint:
      return "deploy endpoints";
    case Permission::kManageNodes:
      return "manage nodes";
    case Permission::kManageQueues:
      return "manage queues";
    case Permission::kViewModels:
      return "view models";
    case Permission::kRegisterModel:
      return "register models";
    case Permission::kViewData:
      return "view the data catalog";
    case Permission::kRegisterData:
      return "register data";
    case Permission::kOpenData:
      return "open data";
    case Permission::kManagePolicy:
      return "manage data policy";
    case Permission::kViewAudit:
      return "view the audit log";
    case Permission::kManageTokens:
      return "manage tokens";
    case Permission::kInfer:
      return "call endpoints";
    case Permission::kAgent:
      return "act as a node agent";
    case Permission::kGateway:
      return "act as the gateway";
  }
  return "do this";
}

// "engineer, admin": the roles that carry the permission.
std::string RolesThatAllow(Permission permission) {
  std::string roles;
  for (int i = auth::v1::Role_MIN; i <= auth::v1::Role_MAX; ++i) {
    if (!auth::v1::Role_IsValid(i) || !RoleAllows(static_cast<Role>(i), permission)) continue;
    absl::StrAppend(&roles, roles.empty() ? "" : ", ",
                    absl::AsciiStrToLower(auth::v1::Role_Name(static_cast<Role>(i))));
  }
  return roles;
}

absl::Status Denied(const Identity& caller, Permission permission,
                    absl::string_view business_unit) {
  const Principal& who = caller.principal;
  std::string message = absl::StrCat(absl::AsciiStrToLower(Principal::Kind_Name(who.kind())), " \"",
                                     who.name(), "\" may not ", ActionOf(permission));
  if (business_unit == kEveryUnit) {
    absl::StrAppend(&message, " of the whole fabric");
  } else if (!business_unit.empty()) {
    absl::StrAppend(&message, " of unit \"", business_unit, "\"");
  }
  const std::string roles = RolesThatAllow(permission);
  if (who.kind() == Principal::JOB && !JobMayHave(permission)) {
    absl::StrAppend(&message, "; no job may");
  } else if (roles.empty()) {
    absl::StrAppend(&message, "; only the certificate of that component allows it");
  } else {
    absl::StrAppend(&message, "; a role that allows it: ", roles,
                    business_unit == kEveryUnit ? ", each in every unit (@*)" : "");
  }
  return absl::PermissionDeniedError(message);
}

}  // namespace

bool SpeaksForNode(absl::string_view certified_name, absl::string_view node) {
  if (certified_name == node) return true;
  return absl::ConsumeSuffix(&certified_name, "*") && absl::EndsWith(certified_name, ".") &&
         node.size() > certified_name.size() && absl::StartsWith(node, certified_name);
}

bool RoleAllows(Role role, Permission permission) {
  switch (role) {
    case auth::v1::VIEWER:
      return ViewerAllows(permission);
    case auth::v1::ENGINEER:
      return ViewerAllows(permission) ||
             IsOneOf(permission,
                     {Permission::kSubmitJob, Permission::kCancelJob, Permission::kRegisterModel,
                      Permission::kRegisterData, Permission::kOpenData});
    case auth::v1::DEPLOYER:
      return ViewerAllows(permission) ||
             IsOneOf(permission, {Permission::kDeployEndpoint, Permission::kInfer});
    case auth::v1::STEWARD:
      return ViewerAllows(permission) ||
             IsOneOf(permission, {Permission::kRegisterData, Permission::kOpenData,
                                  Permission::kManagePolicy, Permission::kViewAudit});
    case auth::v1::SRE:
      return IsOneOf(permission,
                     {Permission::kViewFabric, Permission::kViewModels, Permission::kCancelJob,
                      Permission::kManageNodes, Permission::kViewAudit});
    case auth::v1::ADMIN:
      return !IsOneOf(permission, {Permission::kAgent, Permission::kGateway});
    case auth::v1::INFERENCE:
      return permission == Permission::kInfer;
    default:  // open enum: what a newer peer may send carries no rights here
      return false;
  }
}

absl::Status CheckPermission(const Identity& caller, Permission permission,
                             absl::string_view business_unit) {
  const Principal& who = caller.principal;
  if (who.kind() == Principal::NODE && NodeAllows(permission)) return absl::OkStatus();
  if (who.kind() == Principal::COMPONENT && ComponentAllows(who.name(), permission)) {
    return absl::OkStatus();
  }
  if (who.kind() == Principal::JOB && !JobMayHave(permission)) {
    return Denied(caller, permission, business_unit);
  }
  for (const auth::v1::RoleBinding& binding : caller.bindings) {
    const bool covers_unit = business_unit.empty() || binding.business_unit() == kEveryUnit ||
                             binding.business_unit() == business_unit;
    if (covers_unit && RoleAllows(binding.role(), permission)) return absl::OkStatus();
  }
  return Denied(caller, permission, business_unit);
}

}  // namespace oneai
