// File: serving/gateway/grpc_front.h
//
// The typed door: oneai.inference.v1.InferenceService over mutual TLS, with the API key in the
// metadata. Streams pass through: a slow client holds the replica back, and the client's deadline
// and cancellation reach it.
#pragma once

#include "oneai/inference/v1/inference.grpc.pb.h"
#include "serving/gateway/request_pipeline.h"

namespace oneai::serving {

// Thread-safe. `pipeline` must outlive it.
class GrpcFront final : public inference::v1::InferenceService::Service {
 public:
  explicit GrpcFront(const RequestPipeline* pipeline) : pipeline_(pipeline) {}

  grpc::Status Complete(grpc::ServerContext* context,
                        const inference::v1::CompletionRequest* request,
                        inference::v1::GenerationResponse* response) override;
  grpc::Status CompleteStream(grpc::ServerContext* context,
                              const inference::v1::CompletionRequest* request,
                              grpc::ServerWriter<inference::v1::GenerationChunk>* writer) override;
  grpc::Status Chat(grpc::ServerContext* context, const inference::v1::ChatRequest* request,
                    inference::v1::GenerationResponse* response) override;
  grpc::Status ChatStream(grpc::ServerContext* context, const inference::v1::ChatRequest* request,
                          grpc::ServerWriter<inference::v1::GenerationChunk>* writer) override;
  grpc::Status Embed(grpc::ServerContext* context, const inference::v1::EmbedRequest* request,
                     inference::v1::EmbedResponse* response) override;
  grpc::Status Rerank(grpc::ServerContext* context, const inference::v1::RerankRequest* request,
                      inference::v1::RerankResponse* response) override;
  grpc::Status Classify(grpc::ServerContext* context, const inference::v1::ClassifyRequest* request,
                        inference::v1::ClassifyResponse* response) override;
  grpc::Status ListModels(grpc::ServerContext* context,
                          const inference::v1::ListModelsRequest* request,
                          inference::v1::ListModelsResponse* response) override;

 private:
  template <typename Request, typename Response>
  grpc::Status Asked(grpc::ServerContext* context, const Request& request, Response* response,
                     absl::StatusOr<Response> (RequestPipeline::*ask)(const Identity&, Request,
                                                                      ClientCall&) const) const;
  grpc::Status Whole(grpc::ServerContext* context, GenerationRequest request,
                     inference::v1::GenerationResponse* response) const;
  grpc::Status Streamed(grpc::ServerContext* context, GenerationRequest request,
                        grpc::ServerWriter<inference::v1::GenerationChunk>* writer) const;

  const RequestPipeline* const pipeline_;
};

}  // namespace oneai::serving
