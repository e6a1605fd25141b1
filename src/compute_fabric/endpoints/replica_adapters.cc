#include "compute_fabric/endpoints/replica_adapters.h"

#include "base/grpc/channel.h"
#include "base/grpc/status.h"
#include "oneai/inference/v1/adapters.grpc.pb.h"

namespace oneai::fabric {
namespace {

namespace inference = ::oneai::inference::v1;

constexpr absl::Duration kListTimeout = absl::Seconds(5);
constexpr absl::Duration kLoadTimeout = absl::Seconds(60);
// The name is gone at once; who still uses the adapter need not be waited for.
constexpr absl::Duration kUnloadTimeout = absl::Seconds(2);

class GrpcReplicaAdapters final : public ReplicaAdapters {
 public:
  explicit GrpcReplicaAdapters(const TlsCredentials& tls) : tls_(tls) {}

  absl::StatusOr<std::vector<AdapterFolder>> List(const std::string& address) override {
    grpc::ClientContext context;
    PrepareContext(context, kListTimeout);
    inference::ListAdaptersResponse response;
    const grpc::Status status =
        Stub(address)->ListAdapters(&context, inference::ListAdaptersRequest(), &response);
    if (!status.ok()) return FromGrpcStatus(status);
    std::vector<AdapterFolder> adapters;
    for (const inference::AdapterCard& card : response.adapters())
      adapters.push_back({card.name(), card.folder()});
    return adapters;
  }

  absl::Status Load(const std::string& address, const AdapterFolder& adapter) override {
    grpc::ClientContext context;
    PrepareContext(context, kLoadTimeout);
    inference::LoadAdapterRequest request;
    request.mutable_adapter()->set_name(adapter.name);
    request.mutable_adapter()->set_folder(adapter.folder);
    inference::AdapterCard card;
    return FromGrpcStatus(Stub(address)->LoadAdapter(&context, request, &card));
  }

  absl::Status Unload(const std::string& address, const std::string& name) override {
    grpc::ClientContext context;
    PrepareContext(context, kUnloadTimeout);
    inference::UnloadAdapterRequest request;
    request.set_name(name);
    inference::UnloadAdapterResponse response;
    const absl::Status status =
        FromGrpcStatus(Stub(address)->UnloadAdapter(&context, request, &response));
    return absl::IsDeadlineExceeded(status) ? absl::OkStatus() : status;
  }

 private:
  // Adapters change seldom, and replicas move: no connection is kept.
  std::unique_ptr<inference::AdapterService::Stub> Stub(const std::string& address) const {
    return inference::AdapterService::NewStub(NewChannel(address, tls_));
  }

  const TlsCredentials tls_;
};

}  // namespace

std::unique_ptr<ReplicaAdapters> NewReplicaAdapters(const TlsCredentials& tls) {
  return std::make_unique<GrpcReplicaAdapters>(tls);
}

}  // namespace oneai::fabric
