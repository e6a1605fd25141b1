// File: serving/replica/replica_service.h
//
// oneai.inference.v1.InferenceService of one replica, on gRPC's callback API: no thread waits for a
// token.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <string>

#include "models/config/model_config.h"
#include "oneai/inference/v1/inference.grpc.pb.h"
#include "serving/engine/engine.h"
#include "serving/replica/convert.h"
#include "serving/replica/prompt_builder.h"

namespace oneai::serving {

struct ReplicaModel {
  std::string name;                     // what callers ask for; "" in a request means this one
  std::string version;                  // its registry reference; may be empty
  models::GenerationConfig generation;  // the author's sampling parameters
};

// Thread-safe. Answers only the gateway, the controller, components of the fabric and the
// administrator's certificate.
class ReplicaService final : public v1::InferenceService::CallbackService {
 public:
  // All must outlive the service.
  ReplicaService(ReplicaModel model, const PromptBuilder* prompts, Engine* engine);

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
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;

  // A request that the engine has taken.
  struct Accepted {
    std::shared_ptr<GenerationStream> stream;
    std::string request_id;
    int64_t seed = 0;
    std::string echo;  // text before the answer
  };

 private:
  absl::StatusOr<Accepted> Accept(const grpc::CallbackServerContext& context,
                                  const v1::CompletionRequest& request);
  absl::StatusOr<Accepted> Accept(const grpc::CallbackServerContext& context,
                                  const v1::ChatRequest& request);
  absl::Status CheckCall(const grpc::CallbackServerContext& context,
                         const std::string& model) const;
  template <typename Request>
  absl::StatusOr<Accepted> Submit(const grpc::CallbackServerContext& context,
                                  const Request& request, std::vector<int32_t> prompt,
                                  int64_t default_max_tokens);

  const ReplicaModel model_;
  const PromptBuilder* const prompts_;
  Engine* const engine_;
  const int64_t started_unix_;
};

}  // namespace oneai::serving
