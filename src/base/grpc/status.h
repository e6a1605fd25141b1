// File: base/grpc/status.h
//
// The only place where gRPC and absl statuses are converted. Codes map one to one by number.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace oneai {

grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace oneai
