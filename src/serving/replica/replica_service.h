// File: serving/replica/replica_service.h
//
// oneai.inference.v1.InferenceService of one replica, on gRPC's callback API: no thread waits for a
// token.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <vector>

#include "oneai/inference/v1/inference.grpc.pb.h"
#include "serving/engine/engine.h"
#include "serving/replica/answer_writer.h"
#include "serving/replica/request_builder.h"

namespace oneai::serving {

// Thread-safe. Answers only the gateway, the controller, components of the fabric and the
// administrator's certificate.
class ReplicaService final : public v1::InferenceService::CallbackService {
 public:
  // Both must outlive the service.
  ReplicaService(const RequestBuilder* builder, Engine* engine);

  grpc::ServerUnaryReactor* Complete(grpc::CallbackServerContext* context,
                                     const v1::CompletionRequest* request,
                                     v1::GenerationResponse* response) override;
  grpc::ServerWriteReactor<v1::GenerationChunk>* CompleteStream(
      grpc::CallbackServerContext* context, const v1::CompletionRequest* request) override;
  grpc::ServerUnaryReactor* Chat(grpc::CallbackServerContext* context,
                                 const v1::ChatRequest* request,
                                 v1::GenerationResponse* response) override;
  grpc::ServerWriteReactor<v1::GenerationChunk>* ChatStream(
      grpc::CallbackServerContext* context, const v1::ChatRequest* request) override;
  grpc::ServerUnaryReactor* Embed(grpc::CallbackServerContext* context,
                                  const v1::EmbedRequest* request,
                                  v1::EmbedResponse* response) override;
  grpc::ServerUnaryReactor* Rerank(grpc::CallbackServerContext* context,
                                   const v1::RerankRequest* request,
                                   v1::RerankResponse* response) override;
  grpc::ServerUnaryReactor* Classify(grpc::CallbackServerContext* context,
                                     const v1::ClassifyRequest* request,
                                     v1::ClassifyResponse* response) override;
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;

  // A request that the engine has taken.
  struct Accepted {
    std::shared_ptr<GenerationStream> stream;
    AnswerFormat format;
  };

 private:
  template <typename Request>
  absl::StatusOr<Accepted> Accept(const grpc::CallbackServerContext& context,
                                  const Request& request);
  template <typename Request, typename Response>
  grpc::ServerUnaryReactor* AskAboutEach(const grpc::CallbackServerContext& context,
                                         const Request& request, Response* response,
                                         void (*write)(const Request&,
                                                       std::vector<std::vector<float>>, Response&));

  const RequestBuilder* const builder_;
  Engine* const engine_;
  const int64_t started_unix_;
};

}  // namespace oneai::serving
