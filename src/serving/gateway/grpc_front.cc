// File: serving/gateway/grpc_front.cc
#include "serving/gateway/grpc_front.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/grpc/status.h"

namespace oneai::serving {
namespace {

constexpr absl::Duration kTimeoutMax = absl::Minutes(10);  // for clients that set no deadline

class GrpcClientCall final : public ClientCall {
 public:
  explicit GrpcClientCall(grpc::ServerContext* server) : server_(server) {}
  std::unique_ptr<grpc::ClientContext> NewContext() override {
    // Carries deadline and cancellation over by itself.
    auto context = grpc::ClientContext::FromServerContext(*server_);
    const auto latest = absl::ToChronoTime(absl::Now() + kTimeoutMax);
    if (server_->deadline() > latest) context->set_deadline(latest);
    return context;
  }
  void Release(grpc::ClientContext*) override {}
  bool Cancelled() const override { return server_->IsCancelled(); }

 private:
  grpc::ServerContext* const server_;
};

absl::StatusOr<Identity> CallerOf(const RequestPipeline& pipeline,
                                  const grpc::ServerContext& context) {
  const auto it = context.client_metadata().find("authorization");
  if (it == context.client_metadata().end()) return pipeline.Authenticate("");
  return pipeline.Authenticate(absl::string_view(it->second.data(), it->second.size()));
}

// Tells gRPC's own retry logic how long to wait. Source: gRFC A6.
grpc::Status Failed(grpc::ServerContext* context, const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) {
    context->AddTrailingMetadata("grpc-retry-pushback-ms",
                                 absl::StrCat(absl::ToInt64Milliseconds(RetryAfterOf(status))));
  }
  return ToGrpcStatus(status);
}

}  // namespace

grpc::Status GrpcFront::Whole(grpc::ServerContext* context, GenerationRequest request,
                              inference::v1::GenerationResponse* response) const {
  const absl::StatusOr<Identity> caller = CallerOf(*pipeline_, *context);
  if (!caller.ok()) return Failed(context, caller.status());
  GrpcClientCall call(context);
  absl::StatusOr<inference::v1::GenerationResponse> whole =
      pipeline_->Collect(*caller, std::move(request), call);
  if (!whole.ok()) return Failed(context, whole.status());
  *response = *std::move(whole);
  return grpc::Status::OK;
}

grpc::Status GrpcFront::Streamed(grpc::ServerContext* context, GenerationRequest request,
                                 grpc::ServerWriter<inference::v1::GenerationChunk>* writer) const {
  const absl::StatusOr<Identity> caller = CallerOf(*pipeline_, *context);
  if (!caller.ok()) return Failed(context, caller.status());
  GrpcClientCall call(context);
  const absl::Status status = pipeline_->Stream(
      *caller, std::move(request), call,
      [writer](const inference::v1::GenerationChunk& chunk) { return writer->Write(chunk); });
  return status.ok() ? grpc::Status::OK : Failed(context, status);
}

grpc::Status GrpcFront::Complete(grpc::ServerContext* context,
                                 const inference::v1::CompletionRequest* request,
                                 inference::v1::GenerationResponse* response) {
  return Whole(context, *request, response);
}

grpc::Status GrpcFront::CompleteStream(grpc::ServerContext* context,
                                       const inference::v1::CompletionRequest* request,
                                       grpc::ServerWriter<inference::v1::GenerationChunk>* writer) {
  return Streamed(context, *request, writer);
}

grpc::Status GrpcFront::Chat(grpc::ServerContext* context,
                             const inference::v1::ChatRequest* request,
                             inference::v1::GenerationResponse* response) {
  return Whole(context, *request, response);
}

grpc::Status GrpcFront::ChatStream(grpc::ServerContext* context,
                                   const inference::v1::ChatRequest* request,
                                   grpc::ServerWriter<inference::v1::GenerationChunk>* writer) {
  return Streamed(context, *request, writer);
}

template <typename Request, typename Response>
grpc::Status GrpcFront::Asked(grpc::ServerContext* context, const Request& request,
                              Response* response,
                              absl::StatusOr<Response> (RequestPipeline::*ask)(const Identity&,
                                                                               Request, ClientCall&)
                                  const) const {
  const absl::StatusOr<Identity> caller = CallerOf(*pipeline_, *context);
  if (!caller.ok()) return Failed(context, caller.status());
  GrpcClientCall call(context);
  absl::StatusOr<Response> answer = (pipeline_->*ask)(*caller, request, call);
  if (!answer.ok()) return Failed(context, answer.status());
  *response = *std::move(answer);
  return grpc::Status::OK;
}

grpc::Status GrpcFront::Embed(grpc::ServerContext* context,
                              const inference::v1::EmbedRequest* request,
                              inference::v1::EmbedResponse* response) {
  return Asked(context, *request, response, &RequestPipeline::Embed);
}

grpc::Status GrpcFront::Rerank(grpc::ServerContext* context,
                               const inference::v1::RerankRequest* request,
                               inference::v1::RerankResponse* response) {
  return Asked(context, *request, response, &RequestPipeline::Rerank);
}

grpc::Status GrpcFront::Classify(grpc::ServerContext* context,
                                 const inference::v1::ClassifyRequest* request,
                                 inference::v1::ClassifyResponse* response) {
  return Asked(context, *request, response, &RequestPipeline::Classify);
}

grpc::Status GrpcFront::ListModels(grpc::ServerContext* context,
                                   const inference::v1::ListModelsRequest*,
                                   inference::v1::ListModelsResponse* response) {
  const absl::StatusOr<Identity> caller = CallerOf(*pipeline_, *context);
  if (!caller.ok()) return Failed(context, caller.status());
  const absl::StatusOr<std::vector<EndpointView>> models = pipeline_->ListModels(*caller);
  if (!models.ok()) return Failed(context, models.status());
  for (const EndpointView& model : *models) {
    inference::v1::ModelCard& card = *response->add_models();
    card.set_id(model.name);
    card.set_version(model.version);
    card.set_max_context_tokens(model.max_context_tokens);
    card.set_created_unix(model.created_unix);
    card.mutable_adapters()->Add(model.adapters.begin(), model.adapters.end());
  }
  return grpc::Status::OK;
}

}  // namespace oneai::serving
