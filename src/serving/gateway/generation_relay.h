// File: serving/gateway/generation_relay.h
//
// One generation from a replica to a client: pick -> call -> pass chunks on, and the next replica
// when the first one cannot be reached. What has been delivered is never delivered again.
#pragma once

#include <grpcpp/client_context.h>

#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "oneai/inference/v1/inference.pb.h"
#include "serving/gateway/endpoint_directory.h"

namespace oneai::serving {

using GenerationRequest =
    std::variant<inference::v1::CompletionRequest, inference::v1::ChatRequest>;

// The client's side of a call. Implemented by each front.
class ClientCall {
 public:
  virtual ~ClientCall() = default;
  // A context for one attempt: carries the client's deadline and is cancelled as soon as the client
  // goes away.
  virtual std::unique_ptr<grpc::ClientContext> NewContext() = 0;
  // The attempt is over; its context is about to be destroyed.
  virtual void Release(grpc::ClientContext* context) = 0;
  virtual bool Cancelled() const = 0;
};

// What becomes of a failed attempt. Pure, so that the rule can be read and tested in one place.
enum class AfterFailure {
  kReport,         // as it is
  kTryNext,        // nothing was delivered: another replica may answer
  kReportAborted,  // part was delivered: the client must know that the rest is missing
};
AfterFailure DecideAfterFailure(absl::StatusCode code, bool delivered);

// Takes the next part; false: the client has gone.
using ChunkConsumer = std::function<bool(const inference::v1::GenerationChunk&)>;

using UnaryCall = std::function<grpc::Status(inference::v1::InferenceService::StubInterface&,
                                             grpc::ClientContext*)>;

// Thread-safe. `directory` and `clock` must outlive it.
class GenerationRelay {
 public:
  GenerationRelay(EndpointDirectory* directory, const Clock* clock)
      : directory_(directory), clock_(clock) {}

  // Passes chunks on as they come; the last one carries a finish reason. Blocks while the consumer
  // is slow, which holds the replica's stream back. Cancelled: the client has gone. Aborted: the
  // replica was lost after the first chunk.
  absl::Status Stream(const GenerationRequest& request, ClientCall& call,
                      const ChunkConsumer& consume);

  // Collects the whole answer; `observe` sees each chunk as it arrives. Since nothing is delivered
  // before the end, a replica that is lost midway is replaced too.
  absl::StatusOr<inference::v1::GenerationResponse> Collect(
      const GenerationRequest& request, ClientCall& call,
      const std::function<void(const inference::v1::GenerationChunk&)>& observe);

  // One question, one answer (embeddings and the like): `ask` calls a replica, once for each that
  // is tried.
  absl::Status Ask(const std::string& model, ClientCall& call, const UnaryCall& ask);

  static constexpr int kAttemptsMax = 3;

 private:
  struct Attempt {
    absl::Status status;
    bool got_chunk = false;
  };
  Attempt TryReplica(const ReplicaTarget& replica, const GenerationRequest& request,
                     ClientCall& call, const ChunkConsumer& consume);

  absl::Status TryReplicas(const std::string& model, ClientCall& call,
                           absl::FunctionRef<Attempt(const ReplicaTarget&)> ask);

  EndpointDirectory* const directory_;
  const Clock* const clock_;
};

// The model that a request names: an endpoint, possibly with an adapter (wire/model_name.h).
const std::string& ModelOf(const GenerationRequest& request);
// The endpoint of a model's name.
std::string EndpointOf(const std::string& model);

}  // namespace oneai::serving
