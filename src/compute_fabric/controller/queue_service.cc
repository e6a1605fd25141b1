#include "compute_fabric/controller/fabric_usage.h"
#include "compute_fabric/controller/service_call.h"
#include "oneai/fabric/v1/queue.grpc.pb.h"

namespace oneai::fabric {
namespace {

class QueueServiceImpl final : public v1::QueueService::Service {
 public:
  explicit QueueServiceImpl(const ServiceDeps& deps) : deps_(deps) {}

  grpc::Status ListQueues(grpc::ServerContext* context, const v1::ListQueuesRequest*,
                          v1::ListQueuesResponse* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      for (v1::Queue& queue : deps_.queues->List(caller))
        *response->add_queues() = std::move(queue);
      return absl::OkStatus();
    });
  }
  grpc::Status SetQueue(grpc::ServerContext* context, const v1::SetQueueRequest* request,
                        v1::Queue* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return Answer(deps_.queues->Set(request->queue(), caller), response);
    });
  }
  grpc::Status SetQueues(grpc::ServerContext* context, const v1::SetQueuesRequest* request,
                         v1::ListQueuesResponse* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return Answer(
          deps_.queues->SetAll({request->queues().begin(), request->queues().end()}, caller),
          response);
    });
  }
  grpc::Status DeleteQueue(grpc::ServerContext* context, const v1::DeleteQueueRequest* request,
                           v1::DeleteQueueResponse*) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return deps_.queues->Delete(request->project(), caller);
    });
  }
  grpc::Status GetFabricUsage(grpc::ServerContext* context,
                              const v1::GetFabricUsageRequest* request,
                              v1::GetFabricUsageResponse* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return Answer(fabric::GetFabricUsage(*deps_.state, *request, caller), response);
    });
  }

 private:
  const ServiceDeps deps_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewQueueService(const ServiceDeps& deps) {
  return std::make_unique<QueueServiceImpl>(deps);
}

}  // namespace oneai::fabric
