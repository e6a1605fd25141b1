#include "model_platform/registry/registry_service.h"

#include <fstream>

#include "base/grpc/status.h"
#include "base/status.h"
#include "model_platform/registry/version_files.h"

namespace oneai::platform {
namespace {

using registry::v1::ModelVersion;

constexpr int64_t kChunkBytes = 1 << 20;

std::string UnitOf(const std::string& ref) { return ref.substr(0, ref.find('/')); }

grpc::Status Answer(absl::StatusOr<ModelVersion> result, ModelVersion* response) {
  if (result.ok()) *response = *std::move(result);
  return ToGrpcStatus(result.status());
}

}  // namespace

absl::StatusOr<Identity> RegistryServiceImpl::Caller(const grpc::ServerContext& context,
                                                     Permission permission,
                                                     const std::string& ref) const {
  ASSIGN_OR_RETURN(Identity caller, authenticator_->Authenticate(context));
  if (absl::Status allowed = CheckPermission(caller, permission, UnitOf(ref)); !allowed.ok()) {
    Audit(caller, "model.denied", ref, allowed);
    return allowed;
  }
  return caller;
}

void RegistryServiceImpl::Audit(const Identity& caller, const std::string& action,
                                const std::string& resource, const absl::Status& outcome) const {
  if (!audit_) return;
  audit_({caller.principal, action, resource, outcome.ok(), std::string(outcome.message())});
}

// A source below the artifact root is some job's folder, and whoever registers it makes its content
// readable under the model's unit: so the right to read that job's artifacts is needed.
absl::Status RegistryServiceImpl::CheckSource(
    const Identity& caller, const registry::v1::RegisterModelRequest& request) const {
  ASSIGN_OR_RETURN(const std::filesystem::path source,
                   ResolveSource(registry_->artifact_root(), request.source_dir()));
  std::error_code error;
  const std::filesystem::path root = std::filesystem::canonical(registry_->artifact_root(), error);
  if (error) return absl::InternalError("the artifact root has gone");
  const std::string job_id = source.lexically_relative(root).begin()->string();
  if (caller.principal.kind() != common::v1::Principal::JOB) {
    return guard_
               ? guard_(caller, job_id)
               : absl::PermissionDeniedError("models are registered by the job that trained them");
  }
  if (job_id != caller.principal.name() || request.lineage().job_id() != caller.principal.name()) {
    return absl::PermissionDeniedError(
        absl::StrCat("job ", caller.principal.name(), " may register its own artifacts only"));
  }
  return absl::OkStatus();
}

grpc::Status RegistryServiceImpl::RegisterModel(grpc::ServerContext* context,
                                                const registry::v1::RegisterModelRequest* request,
                                                ModelVersion* response) {
  const absl::StatusOr<Identity> caller =
      Caller(*context, Permission::kRegisterModel, request->name());
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::Status source = CheckSource(*caller, *request);
  absl::StatusOr<ModelVersion> result =
      source.ok() ? registry_->Register(*request, caller->principal) : source;
  Audit(*caller, "model.register",
        result.ok() ? absl::StrCat(result->name(), "@", result->version()) : request->name(),
        result.status());
  return Answer(std::move(result), response);
}

grpc::Status RegistryServiceImpl::GetModel(grpc::ServerContext* context,
                                           const registry::v1::GetModelRequest* request,
                                           ModelVersion* response) {
  const absl::StatusOr<Identity> caller = Caller(*context, Permission::kViewModels, request->ref());
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  return Answer(registry_->Resolve(request->ref()), response);
}

grpc::Status RegistryServiceImpl::ListModels(grpc::ServerContext* context,
                                             const registry::v1::ListModelsRequest*,
                                             registry::v1::ListModelsResponse* response) {
  const absl::StatusOr<Identity> caller = authenticator_->Authenticate(*context);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  absl::StatusOr<std::vector<ModelVersion>> models = registry_->List();
  if (!models.ok()) return ToGrpcStatus(models.status());
  for (ModelVersion& model : *models) {
    if (CheckPermission(*caller, Permission::kViewModels, UnitOf(model.name())).ok()) {
      *response->add_models() = std::move(model);
    }
  }
  return grpc::Status::OK;
}

grpc::Status RegistryServiceImpl::SetAlias(grpc::ServerContext* context,
                                           const registry::v1::SetAliasRequest* request,
                                           ModelVersion* response) {
  const absl::StatusOr<Identity> caller =
      Caller(*context, Permission::kRegisterModel, request->ref());
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  absl::StatusOr<ModelVersion> result = registry_->SetAlias(request->ref(), request->alias());
  Audit(*caller, "model.alias", absl::StrCat(request->ref(), " as ", request->alias()),
        result.status());
  return Answer(std::move(result), response);
}

grpc::Status RegistryServiceImpl::AttachEvaluation(
    grpc::ServerContext* context, const registry::v1::AttachEvaluationRequest* request,
    ModelVersion* response) {
  const absl::StatusOr<Identity> caller =
      Caller(*context, Permission::kRegisterModel, request->ref());
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  registry::v1::Evaluation evaluation = request->evaluation();
  // A job speaks for itself only.
  if (caller->principal.kind() == common::v1::Principal::JOB) {
    evaluation.set_job_id(caller->principal.name());
  }
  absl::StatusOr<ModelVersion> result =
      registry_->AttachEvaluation(request->ref(), std::move(evaluation));
  Audit(*caller, "model.evaluate", request->ref(), result.status());
  return Answer(std::move(result), response);
}

grpc::Status RegistryServiceImpl::DownloadFile(
    grpc::ServerContext* context, const registry::v1::DownloadFileRequest* request,
    grpc::ServerWriter<registry::v1::FileChunk>* writer) {
  const absl::StatusOr<Identity> caller = Caller(*context, Permission::kViewModels, request->ref());
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const absl::StatusOr<ModelVersion> version = registry_->Resolve(request->ref());
  if (!version.ok()) return ToGrpcStatus(version.status());
  const absl::StatusOr<std::filesystem::path> path = registry_->FilePath(*version, request->path());
  if (!path.ok()) return ToGrpcStatus(path.status());
  std::ifstream file(*path, std::ios::binary);
  if (!file) return ToGrpcStatus(absl::DataLossError(absl::StrCat(path->string(), " is missing")));
  if (request->offset() < 0) {
    return ToGrpcStatus(absl::InvalidArgumentError("offset is negative"));
  }
  file.seekg(request->offset());
  registry::v1::FileChunk chunk;
  int64_t offset = request->offset();
  std::string buffer(kChunkBytes, '\0');
  while (file.read(buffer.data(), kChunkBytes) || file.gcount() > 0) {
    chunk.set_offset(offset);
    chunk.set_data(buffer.data(), file.gcount());
    offset += file.gcount();
    if (!writer->Write(chunk)) return grpc::Status::CANCELLED;
  }
  return grpc::Status::OK;
}

}  // namespace oneai::platform
