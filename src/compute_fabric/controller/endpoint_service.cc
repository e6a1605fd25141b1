#include "compute_fabric/controller/cluster_view.h"
#include "compute_fabric/controller/service_call.h"
#include "oneai/fabric/v1/endpoint.grpc.pb.h"

namespace oneai::fabric {
namespace {

constexpr absl::Duration kCancelPoll = absl::Milliseconds(100);

class EndpointServiceImpl final : public v1::EndpointService::Service {
 public:
  explicit EndpointServiceImpl(const ServiceDeps& deps) : deps_(deps) {}

  grpc::Status DeployEndpoint(grpc::ServerContext* context,
                              const v1::DeployEndpointRequest* request,
                              v1::Endpoint* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return Answer(deps_.endpoints->Deploy(*request, caller), response);
    });
  }
  grpc::Status GetEndpoint(grpc::ServerContext* context, const v1::GetEndpointRequest* request,
                           v1::Endpoint* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return Answer(deps_.endpoints->Get(request->name(), caller), response);
    });
  }
  grpc::Status ListEndpoints(grpc::ServerContext* context, const v1::ListEndpointsRequest*,
                             v1::ListEndpointsResponse* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      *response = deps_.endpoints->List(caller);
      return absl::OkStatus();
    });
  }
  grpc::Status DeleteEndpoint(grpc::ServerContext* context,
                              const v1::DeleteEndpointRequest* request,
                              v1::DeleteEndpointResponse*) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return deps_.endpoints->Delete(request->name(), caller);
    });
  }
  grpc::Status ChangeAdapters(grpc::ServerContext* context,
                              const v1::ChangeAdaptersRequest* request,
                              v1::Endpoint* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return Answer(deps_.endpoints->ChangeAdapters(*request, caller), response);
    });
  }
  grpc::Status WatchEndpoints(grpc::ServerContext* context, const v1::WatchEndpointsRequest*,
                              grpc::ServerWriter<v1::ListEndpointsResponse>* writer) override {
    return ServeStream(deps_, *context, [&](const Identity& caller) -> absl::Status {
      std::string last;
      bool first = true;
      int64_t version = 0;
      while (!context->IsCancelled() && deps_.gate->is_open()) {
        version = deps_.state->WaitForChange(version, kCancelPoll);
        const v1::ListEndpointsResponse now = deps_.endpoints->List(caller);
        std::string text = now.SerializeAsString();
        if (!first && text == last) continue;
        if (!writer->Write(now)) break;
        last = std::move(text);
        first = false;
      }
      return context->IsCancelled()
                 ? absl::CancelledError("the watcher left")
                 : absl::UnavailableError("the controller is stopping; watch again");
    });
  }
  grpc::Status ReportUsage(grpc::ServerContext* context, const v1::ReportUsageRequest* request,
                           v1::ReportUsageResponse* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) -> absl::Status {
      RETURN_IF_ERROR(Require(deps_, caller, Permission::kGateway, "usage.report"));
      RETURN_IF_ERROR(deps_.scaler->TakeLoads(*request));
      return Answer(deps_.usage->Report(*request), response);
    });
  }
  grpc::Status GetUsage(grpc::ServerContext* context, const v1::GetUsageRequest*,
                        v1::GetUsageResponse* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return Answer(deps_.usage->Get(caller), response);
    });
  }

 private:
  const ServiceDeps deps_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewEndpointService(const ServiceDeps& deps) {
  return std::make_unique<EndpointServiceImpl>(deps);
}

}  // namespace oneai::fabric
