// File: base/grpc/status.h
//
// The only place where gRPC and absl statuses are converted. Codes map one to one by number.
// Payloads whose type URL begins with type.googleapis.com/ travel as the details of
// google.rpc.Status (AIP-193); other payloads stay in the process.
#pragma once

#include <grpcpp/support/status.h>

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace oneai {

grpc::Status ToGrpcStatus(const absl::Status& status);
// Details come from a peer: more than 8 KiB of them, or malformed ones, are dropped.
absl::Status FromGrpcStatus(const grpc::Status& status);

// Attaches google.rpc.RetryInfo to an error: how long to wait before the next attempt, at least 0
// and rounded up to milliseconds. An OK status stays OK.
void SetRetryDelay(absl::Status& status, absl::Duration delay);
// The attached delay; nullopt: none, or it is malformed or negative.
std::optional<absl::Duration> RetryDelayOf(const absl::Status& status);

}  // namespace oneai
