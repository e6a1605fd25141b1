#include "model_platform/registry/registry_client.h"

#include "absl/time/clock.h"
#include "base/grpc/channel.h"
#include "base/grpc/status.h"
#include "base/status.h"

namespace oneai::platform {
namespace {

using registry::v1::ModelVersion;

// A controller that restarts is back within this; every call here may be repeated (registering is
// idempotent by content, an evaluation by job and task).
constexpr absl::Duration kPatience = absl::Minutes(2);
constexpr absl::Duration kPause = absl::Seconds(1);

template <typename Call>
absl::StatusOr<ModelVersion> WithRetries(absl::Duration timeout, absl::string_view what,
                                         Call call) {
  const absl::Time give_up = absl::Now() + kPatience;
  while (true) {
    grpc::ClientContext context;
    PrepareContext(context, timeout);
    ModelVersion version;
    const absl::Status status = FromGrpcStatus(call(context, version));
    if (status.ok()) return version;
    if (!absl::IsUnavailable(status) || absl::Now() > give_up) return Annotate(status, what);
    absl::SleepFor(kPause);
  }
}

}  // namespace

absl::StatusOr<ModelVersion> GrpcRegistryClient::Register(
    const registry::v1::RegisterModelRequest& request) {
  return WithRetries(absl::Minutes(10), absl::StrCat("registering ", request.name()),
                     [&](grpc::ClientContext& context, ModelVersion& version) {
                       return stub_->RegisterModel(&context, request, &version);
                     });
}

absl::StatusOr<ModelVersion> GrpcRegistryClient::Get(const std::string& ref) {
  registry::v1::GetModelRequest request;
  request.set_ref(ref);
  return WithRetries(absl::Seconds(30), absl::StrCat("looking up model ", ref),
                     [&](grpc::ClientContext& context, ModelVersion& version) {
                       return stub_->GetModel(&context, request, &version);
                     });
}

absl::StatusOr<ModelVersion> GrpcRegistryClient::AttachEvaluation(
    const registry::v1::AttachEvaluationRequest& request) {
  return WithRetries(absl::Seconds(30), absl::StrCat("attaching an evaluation to ", request.ref()),
                     [&](grpc::ClientContext& context, ModelVersion& version) {
                       return stub_->AttachEvaluation(&context, request, &version);
                     });
}

}  // namespace oneai::platform
