// File: compute_fabric/controller/service_call.h
//
// What every handler does first and last.
#pragma once

#include <grpcpp/server_context.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/grpc/status.h"
#include "base/status.h"
#include "compute_fabric/controller/services.h"

namespace oneai::fabric {

// Answers with what `call(identity)` returns (a Status), or why the caller may not call.
template <typename Call>
grpc::Status ServeCall(const ServiceDeps& deps, const grpc::ServerContext& context, Call call) {
  if (!deps.gate->is_open()) {
    return ToGrpcStatus(absl::UnavailableError("the controller is starting or stopping; retry"));
  }
  const absl::StatusOr<Identity> identity = deps.authenticator->Authenticate(context);
  if (!identity.ok()) return ToGrpcStatus(identity.status());
  return ToGrpcStatus(call(*identity));
}

// The same for a call that waits: refused when too many do.
template <typename Call>
grpc::Status ServeStream(const ServiceDeps& deps, const grpc::ServerContext& context, Call call) {
  return ServeCall(deps, context, [&](const Identity& identity) -> absl::Status {
    if (!deps.gate->TryEnterStream()) {
      return absl::ResourceExhaustedError(
          "too many watches and followed logs are open; close some or retry later");
    }
    const absl::Status status = call(identity);
    deps.gate->LeaveStream();
    return status;
  });
}

// CheckPermission for what belongs to no unit; a refusal is audited.
inline absl::Status Require(const ServiceDeps& deps, const Identity& caller, Permission permission,
                            const std::string& action) {
  const absl::Status allowed = CheckPermission(caller, permission, "");
  if (!allowed.ok() && deps.hooks->audit)
    deps.hooks->audit({caller, action, "", false, std::string(allowed.message())});
  return allowed;
}

// Moves a result into the response message.
template <typename Message>
absl::Status Answer(absl::StatusOr<Message> result, Message* response) {
  if (!result.ok()) return std::move(result).status();
  *response = *std::move(result);
  return absl::OkStatus();
}

}  // namespace oneai::fabric
