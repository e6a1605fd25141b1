// File: data_gov/service/data_service.h
//
// DataService over catalog, policy and audit: the only door to data. Contract:
// proto/oneai/data/v1/data.proto.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/grpc/authenticator.h"
#include "base/store/store.h"
#include "data_gov/audit/audit_log.h"
#include "data_gov/catalog/catalog.h"
#include "oneai/data/v1/data.grpc.pb.h"

namespace oneai::gov {

// The governance decisions as plain calls, used by the service and by job admission. Thread-safe;
// pointers must outlive it.
class DataGovernance {
 public:
  DataGovernance(Store* store, const Clock* clock, Catalog* catalog, AuditLog* audit)
      : store_(store), clock_(clock), catalog_(catalog), audit_(audit) {}

  // Writes the default rules when there are none yet.
  absl::Status InstallDefaultRules();
  absl::StatusOr<std::vector<data::v1::PolicyRule>> Rules() const;
  absl::Status PutRule(const Identity& caller, const data::v1::PolicyRule& rule);

  // Decides without granting. NotFound: no such dataset. InvalidArgument: unknown purpose.
  absl::StatusOr<data::v1::AccessDecision> Check(const Identity& caller, const std::string& dataset,
                                                 const std::string& purpose) const;
  // Decides, audits either way, and grants for an hour. PermissionDenied names the rule.
  absl::StatusOr<data::v1::OpenDatasetResponse> Open(const Identity& caller,
                                                     const std::string& dataset,
                                                     const std::string& purpose);
  struct OpenFile {
    std::string path;
    int64_t size_bytes;
  };
  // Checks the grant, audits the read, returns where the bytes lie. PermissionDenied: unknown,
  // another's, or expired grant.
  absl::StatusOr<OpenFile> ResolveRead(const Identity& caller,
                                       const data::v1::ReadDatasetRequest& request);

  Catalog& catalog() { return *catalog_; }
  AuditLog& audit() { return *audit_; }

 private:
  Store* const store_;
  const Clock* const clock_;
  Catalog* const catalog_;
  AuditLog* const audit_;
};

class DataServiceImpl final : public data::v1::DataService::Service {
 public:
  DataServiceImpl(DataGovernance* governance, const Authenticator* authenticator)
      : governance_(governance), authenticator_(authenticator) {}

  grpc::Status RegisterDataset(grpc::ServerContext* context,
                               grpc::ServerReader<data::v1::RegisterDatasetRequest>* reader,
                               data::v1::DatasetVersion* response) override;
  grpc::Status GetDataset(grpc::ServerContext* context, const data::v1::GetDatasetRequest* request,
                          data::v1::DatasetVersion* response) override;
  grpc::Status ListDatasets(grpc::ServerContext* context,
                            const data::v1::ListDatasetsRequest* request,
                            data::v1::ListDatasetsResponse* response) override;
  grpc::Status CheckAccess(grpc::ServerContext* context,
                           const data::v1::CheckAccessRequest* request,
                           data::v1::AccessDecision* response) override;
  grpc::Status OpenDataset(grpc::ServerContext* context,
                           const data::v1::OpenDatasetRequest* request,
                           data::v1::OpenDatasetResponse* response) override;
  grpc::Status ReadDataset(grpc::ServerContext* context,
                           const data::v1::ReadDatasetRequest* request,
                           grpc::ServerWriter<data::v1::DataChunk>* writer) override;
  grpc::Status ListRules(grpc::ServerContext* context, const data::v1::ListRulesRequest* request,
                         data::v1::ListRulesResponse* response) override;
  grpc::Status PutRule(grpc::ServerContext* context, const data::v1::PutRuleRequest* request,
                       data::v1::PolicyRule* response) override;
  grpc::Status QueryAudit(grpc::ServerContext* context, const data::v1::QueryAuditRequest* request,
                          data::v1::QueryAuditResponse* response) override;
  grpc::Status VerifyAudit(grpc::ServerContext* context,
                           const data::v1::VerifyAuditRequest* request,
                           data::v1::VerifyAuditResponse* response) override;

 private:
  // The caller, if it has `permission` on its own unit (or on `unit`, when given).
  absl::StatusOr<Identity> Caller(const grpc::ServerContext& context, Permission permission,
                                  const std::string* unit = nullptr) const;
  absl::StatusOr<data::v1::DatasetVersion> Register(
      grpc::ServerContext& context, grpc::ServerReader<data::v1::RegisterDatasetRequest>& reader);

  DataGovernance* const governance_;
  const Authenticator* const authenticator_;
};

}  // namespace oneai::gov
