#include "serving/replica/replica_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/grpc/authenticator.h"
#include "base/grpc/status.h"
#include "base/ids.h"
#include "base/status.h"
#include "serving/replica/answer_reactors.h"
#include "serving/replica/pooled_answers.h"
#include "serving/replica/pooled_call.h"

namespace oneai::serving {
namespace {

// A full queue has places again as soon as a request ends.
constexpr absl::Duration kQueueRetryDelay = absl::Seconds(1);

absl::Time DeadlineOf(const grpc::CallbackServerContext& context) {
  const auto deadline = context.deadline();
  return deadline == std::chrono::system_clock::time_point::max() ? absl::InfiniteFuture()
                                                                  : absl::FromChrono(deadline);
}

// Tenant limits are the gateway's business, so nobody may come past it.
absl::Status CheckCaller(const grpc::CallbackServerContext& context) {
  ASSIGN_OR_RETURN(const PeerName peer, PeerNameOf(context));
  if (peer.kind == "gateway" || peer.kind == "controller" || peer.kind == "component" ||
      (peer.kind == "user" && peer.name == "admin")) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(
      absl::StrCat("a certificate of kind ", peer.kind, " may not ask a replica; ask the gateway"));
}

}  // namespace

ReplicaService::ReplicaService(const RequestBuilder* builder, Engine* engine)
    : builder_(builder), engine_(engine), started_unix_(absl::ToUnixSeconds(absl::Now())) {}

template <typename Request>
absl::StatusOr<ReplicaService::Accepted> ReplicaService::Accept(
    const grpc::CallbackServerContext& context, const Request& request) {
  RETURN_IF_ERROR(CheckCaller(context));
  ASSIGN_OR_RETURN(BuiltRequest built, builder_->Build(request));
  built.generation.deadline = DeadlineOf(context);
  absl::StatusOr<std::shared_ptr<GenerationStream>> stream =
      engine_->Submit(std::move(built.generation));
  if (!stream.ok()) {
    absl::Status status = stream.status();
    if (absl::IsResourceExhausted(status)) SetRetryDelay(status, kQueueRetryDelay);
    return status;
  }
  return Accepted{*std::move(stream), std::move(built.format)};
}

grpc::ServerUnaryReactor* ReplicaService::Complete(grpc::CallbackServerContext* context,
                                                   const v1::CompletionRequest* request,
                                                   v1::GenerationResponse* response) {
  return NewWholeReactor(Accept(*context, *request), response);
}

grpc::ServerWriteReactor<v1::GenerationChunk>* ReplicaService::CompleteStream(
    grpc::CallbackServerContext* context, const v1::CompletionRequest* request) {
  return NewStreamReactor(Accept(*context, *request));
}

grpc::ServerUnaryReactor* ReplicaService::Chat(grpc::CallbackServerContext* context,
                                               const v1::ChatRequest* request,
                                               v1::GenerationResponse* response) {
  return NewWholeReactor(Accept(*context, *request), response);
}

grpc::ServerWriteReactor<v1::GenerationChunk>* ReplicaService::ChatStream(
    grpc::CallbackServerContext* context, const v1::ChatRequest* request) {
  return NewStreamReactor(Accept(*context, *request));
}

template <typename Request, typename Response>
grpc::ServerUnaryReactor* ReplicaService::AskAboutEach(
    const grpc::CallbackServerContext& context, const Request& request, Response* response,
    void (*write)(const Request&, std::vector<std::vector<float>>, Response&)) {
  if (const absl::Status status = CheckCaller(context); !status.ok())
    return NewFinishedReactor(status);
  absl::StatusOr<std::vector<GenerationRequest>> built = builder_->Build(request);
  if (!built.ok()) return NewFinishedReactor(built.status());
  for (GenerationRequest& one : *built) one.deadline = DeadlineOf(context);
  response->set_request_id(request.request_id().empty() ? NewId("req-") : request.request_id());
  // The request lives as long as the call.
  return NewPooledReactor(
      engine_, *std::move(built),
      [&request, response, write](std::vector<std::vector<float>> values, const TokenUsage& usage) {
        write(request, std::move(values), *response);
        response->mutable_usage()->set_prompt_tokens(static_cast<int32_t>(usage.num_prompt_tokens));
        response->mutable_usage()->set_cached_prompt_tokens(
            static_cast<int32_t>(usage.num_cached_prompt_tokens));
      });
}

grpc::ServerUnaryReactor* ReplicaService::Embed(grpc::CallbackServerContext* context,
                                                const v1::EmbedRequest* request,
                                                v1::EmbedResponse* response) {
  return AskAboutEach(*context, *request, response, &WriteEmbeddings);
}

grpc::ServerUnaryReactor* ReplicaService::Rerank(grpc::CallbackServerContext* context,
                                                 const v1::RerankRequest* request,
                                                 v1::RerankResponse* response) {
  return AskAboutEach(*context, *request, response, &WriteRanking);
}

grpc::ServerUnaryReactor* ReplicaService::Classify(grpc::CallbackServerContext* context,
                                                   const v1::ClassifyRequest* request,
                                                   v1::ClassifyResponse* response) {
  return AskAboutEach(*context, *request, response, &WriteScores);
}

grpc::ServerUnaryReactor* ReplicaService::ListModels(grpc::CallbackServerContext* context,
                                                     const v1::ListModelsRequest*,
                                                     v1::ListModelsResponse* response) {
  const absl::Status status = CheckCaller(*context);
  if (status.ok()) {
    const ReplicaModel& model = builder_->model();
    v1::ModelCard* card = response->add_models();
    card->set_id(model.name);
    card->set_version(model.version);
    card->set_max_context_tokens(static_cast<int32_t>(model.max_context_tokens));
    card->set_created_unix(started_unix_);
    for (const NamedAdapter& adapter : model.adapters.List()) card->add_adapters(adapter.name);
  }
  return NewFinishedReactor(status);
}

}  // namespace oneai::serving
