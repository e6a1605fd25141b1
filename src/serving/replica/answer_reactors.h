// File: serving/replica/answer_reactors.h
//
// Carry an answer from the engine to a gRPC call: whole, or as a stream with at most one message in
// flight.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "absl/status/statusor.h"
#include "oneai/inference/v1/inference.pb.h"
#include "serving/replica/replica_service.h"

namespace oneai::serving {

// Return reactors that delete themselves when their call is done. A call that ends early cancels
// its request; a request that was not accepted ends the call with its status. `response` lives as
// long as the call.
grpc::ServerWriteReactor<v1::GenerationChunk>* NewStreamReactor(
    absl::StatusOr<ReplicaService::Accepted> accepted);
grpc::ServerUnaryReactor* NewWholeReactor(absl::StatusOr<ReplicaService::Accepted> accepted,
                                          v1::GenerationResponse* response);
grpc::ServerUnaryReactor* NewFinishedReactor(const absl::Status& status);

}  // namespace oneai::serving
