// File: model_platform/registry/registry_service.h
//
// RegistryService over ModelRegistry: who may, then what. Contract:
// proto/oneai/registry/v1/registry.proto.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "base/grpc/authenticator.h"
#include "model_platform/registry/model_registry.h"
#include "oneai/registry/v1/registry.grpc.pb.h"

namespace oneai::platform {

// Something that belongs in the audit log.
struct RegistryAudit {
  common::v1::Principal principal;
  std::string action;    // "model.register", "model.alias", "model.evaluate"
  std::string resource;  // name or name@version
  bool allowed = false;
  std::string detail;
};
using AuditSink = std::function<void(const RegistryAudit&)>;

// May this person read the artifacts of that job? Jobs may read their own and are not asked about.
using ArtifactGuard =
    std::function<absl::Status(const Identity& caller, const std::string& job_id)>;

// Thread-safe. The pointers must outlive it. Without a guard only jobs can register models.
class RegistryServiceImpl final : public registry::v1::RegistryService::Service {
 public:
  RegistryServiceImpl(ModelRegistry* registry, const Authenticator* authenticator, AuditSink audit,
                      ArtifactGuard guard = nullptr)
      : registry_(registry),
        authenticator_(authenticator),
        audit_(std::move(audit)),
        guard_(std::move(guard)) {}

  grpc::Status RegisterModel(grpc::ServerContext* context,
                             const registry::v1::RegisterModelRequest* request,
                             registry::v1::ModelVersion* response) override;
  grpc::Status GetModel(grpc::ServerContext* context, const registry::v1::GetModelRequest* request,
                        registry::v1::ModelVersion* response) override;
  grpc::Status ListModels(grpc::ServerContext* context,
                          const registry::v1::ListModelsRequest* request,
                          registry::v1::ListModelsResponse* response) override;
  grpc::Status SetAlias(grpc::ServerContext* context, const registry::v1::SetAliasRequest* request,
                        registry::v1::ModelVersion* response) override;
  grpc::Status AttachEvaluation(grpc::ServerContext* context,
                                const registry::v1::AttachEvaluationRequest* request,
                                registry::v1::ModelVersion* response) override;
  grpc::Status DownloadFile(grpc::ServerContext* context,
                            const registry::v1::DownloadFileRequest* request,
                            grpc::ServerWriter<registry::v1::FileChunk>* writer) override;

 private:
  // The caller, if it has `permission` on the unit that `ref` begins with.
  absl::StatusOr<Identity> Caller(const grpc::ServerContext& context, Permission permission,
                                  const std::string& ref) const;
  absl::Status CheckSource(const Identity& caller,
                           const registry::v1::RegisterModelRequest& request) const;
  void Audit(const Identity& caller, const std::string& action, const std::string& resource,
             const absl::Status& outcome) const;

  ModelRegistry* const registry_;
  const Authenticator* const authenticator_;
  const AuditSink audit_;
  const ArtifactGuard guard_;
};

}  // namespace oneai::platform
