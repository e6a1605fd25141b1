// File: serving/gateway/generation_relay.cc
#include "serving/gateway/generation_relay.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "base/grpc/status.h"
#include "base/log/log.h"
#include "base/status.h"
#include "serving/wire/collect_answer.h"
#include "serving/wire/model_name.h"

namespace oneai::serving {
namespace {

using inference::v1::GenerationChunk;
using ChunkReader = grpc::ClientReaderInterface<GenerationChunk>;

std::unique_ptr<ChunkReader> Open(inference::v1::InferenceService::StubInterface& stub,
                                  const GenerationRequest& request, grpc::ClientContext* context) {
  if (const auto* chat = std::get_if<inference::v1::ChatRequest>(&request)) {
    return stub.ChatStream(context, *chat);
  }
  return stub.CompleteStream(context, std::get<inference::v1::CompletionRequest>(request));
}

absl::Status Gone() { return absl::CancelledError("the client closed the connection"); }

}  // namespace

const std::string& ModelOf(const GenerationRequest& request) {
  return std::visit([](const auto& r) -> const std::string& { return r.model(); }, request);
}

std::string EndpointOf(const std::string& model) { return SplitModelName(model).base; }

AfterFailure DecideAfterFailure(absl::StatusCode code, bool delivered) {
  switch (code) {
    case absl::StatusCode::kUnavailable:
      return delivered ? AfterFailure::kReportAborted : AfterFailure::kTryNext;
    case absl::StatusCode::kResourceExhausted:  // this replica's queue is full
      return delivered ? AfterFailure::kReport : AfterFailure::kTryNext;
    case absl::StatusCode::kInternal:  // how gRPC reports some broken connections
    case absl::StatusCode::kUnknown:
      return delivered ? AfterFailure::kReportAborted : AfterFailure::kReport;
    default:
      return AfterFailure::kReport;
  }
}

GenerationRelay::Attempt GenerationRelay::TryReplica(const ReplicaTarget& replica,
                                                     const GenerationRequest& request,
                                                     ClientCall& call,
                                                     const ChunkConsumer& consume) {
  const std::unique_ptr<grpc::ClientContext> context = call.NewContext();
  Attempt attempt;
  bool is_finished = false;
  bool client_gone = false;
  {
    const std::unique_ptr<ChunkReader> reader = Open(*replica.stub, request, context.get());
    GenerationChunk chunk;
    while (reader->Read(&chunk)) {
      attempt.got_chunk = true;
      is_finished |= EndsAnswer(chunk);
      if (client_gone || consume(chunk)) continue;
      // Read on until the replica has noticed: Finish() must not be called with messages left.
      client_gone = true;
      context->TryCancel();
    }
    attempt.status = FromGrpcStatus(reader->Finish());
  }
  call.Release(context.get());
  if (client_gone || (!attempt.status.ok() && call.Cancelled())) {
    attempt.status = Gone();
  } else if (attempt.status.ok() && !is_finished) {
    attempt.status =
        absl::UnavailableError("the replica ended its stream in the middle of the answer");
  }
  return attempt;
}

absl::Status GenerationRelay::TryReplicas(const std::string& model, ClientCall& call,
                                          absl::FunctionRef<Attempt(const ReplicaTarget&)> ask) {
  std::set<std::string> tried;
  absl::Status last;
  for (int i = 0; i < kAttemptsMax; ++i) {
    if (call.Cancelled()) return Gone();
    absl::StatusOr<ReplicaTarget> replica = directory_->Pick(model, tried, clock_->Now());
    // When every replica was tried, the reason of the last one says more than "none is left".
    if (!replica.ok()) return last.ok() ? replica.status() : last;
    tried.insert(replica->address);
    const Attempt attempt = ask(*replica);
    if (attempt.status.ok()) return attempt.status;
    if (absl::IsUnavailable(attempt.status)) directory_->Suspect(replica->address, clock_->Now());
    switch (DecideAfterFailure(attempt.status.code(), attempt.got_chunk)) {
      case AfterFailure::kReport:
        return attempt.status;
      case AfterFailure::kReportAborted:
        return absl::AbortedError(
            absl::StrCat("the replica was lost in the middle of the answer; what came before is "
                         "incomplete (",
                         std::string(attempt.status.message()), ")"));
      case AfterFailure::kTryNext:
        last = attempt.status;
        Log::Warning("replica did not answer", {{"replica", replica->address}, {"error", last}});
        break;
    }
  }
  return last;
}

absl::Status GenerationRelay::Stream(const GenerationRequest& request, ClientCall& call,
                                     const ChunkConsumer& consume) {
  return TryReplicas(EndpointOf(ModelOf(request)), call, [&](const ReplicaTarget& replica) {
    return TryReplica(replica, request, call, consume);
  });
}

absl::Status GenerationRelay::Ask(const std::string& model, ClientCall& call,
                                  const UnaryCall& ask) {
  return TryReplicas(EndpointOf(model), call, [&](const ReplicaTarget& replica) {
    const std::unique_ptr<grpc::ClientContext> context = call.NewContext();
    Attempt attempt;
    attempt.status = FromGrpcStatus(ask(*replica.stub, context.get()));
    call.Release(context.get());
    if (!attempt.status.ok() && call.Cancelled()) attempt.status = Gone();
    return attempt;
  });
}

absl::StatusOr<inference::v1::GenerationResponse> GenerationRelay::Collect(
    const GenerationRequest& request, ClientCall& call,
    const std::function<void(const GenerationChunk&)>& observe) {
  absl::Status status;
  for (int i = 0; i < kAttemptsMax; ++i) {
    inference::v1::GenerationResponse response;
    status = Stream(request, call, [&](const GenerationChunk& chunk) {
      observe(chunk);
      AddChunk(chunk, response);
      return true;
    });
    if (status.ok()) return response;
    if (!absl::IsAborted(status)) return status;
  }
  return status;
}

}  // namespace oneai::serving
