#include "data_gov/service/data_service.h"

#include <algorithm>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/grpc/status.h"
#include "base/status.h"
#include "data_gov/policy/policy.h"

namespace oneai::gov {
namespace {

constexpr size_t kChunkBytes = 256 << 10;
constexpr size_t kMessageBytesMax = 1 << 20;

// Fills `response` from a StatusOr and returns the gRPC status.
template <typename T>
grpc::Status Answer(absl::StatusOr<T> result, T* response) {
  if (!result.ok()) return ToGrpcStatus(result.status());
  *response = *std::move(result);
  return grpc::Status::OK;
}

// Whether a rule reaches no further than `unit`: "retail/*" and "retail/corpus" are retail's.
bool BelongsTo(const data::v1::PolicyRule& rule, const std::string& unit) {
  return !rule.datasets().empty() &&
         std::all_of(rule.datasets().begin(), rule.datasets().end(), [&](const std::string& name) {
           return absl::StrContains(name, '/') && UnitOf(name) == unit;
         });
}

// The unit whose stewards may put the rule.
std::string UnitOfRule(const data::v1::PolicyRule& rule) {
  const std::string unit = rule.datasets().empty() ? "" : UnitOf(rule.datasets(0));
  return BelongsTo(rule, unit) ? unit : std::string(kEveryUnit);
}

// A unit's auditors see what its people did and what was done with its data and models.
bool MaySee(const Identity& caller, const data::v1::AuditRecord& record) {
  const auto covers = [&](const std::string& unit) {
    return CheckPermission(caller, Permission::kViewAudit, unit).ok();
  };
  if (covers(std::string(kEveryUnit))) return true;
  const std::string& actor = record.principal().business_unit();
  if (!actor.empty() && covers(actor)) return true;
  const bool names_unit =
      absl::StartsWith(record.action(), "dataset.") || absl::StartsWith(record.action(), "model.");
  return names_unit && absl::StrContains(record.resource(), '/') &&
         covers(UnitOf(record.resource()));
}

}  // namespace

absl::StatusOr<Identity> DataServiceImpl::Caller(const grpc::ServerContext& context,
                                                 Permission permission,
                                                 const std::string* unit) const {
  ASSIGN_OR_RETURN(Identity caller, authenticator_->Authenticate(context));
  const std::string& asked = unit != nullptr ? *unit : caller.principal.business_unit();
  if (absl::Status allowed = CheckPermission(caller, permission, asked); !allowed.ok()) {
    RETURN_IF_ERROR(governance_->audit().Append(
        {caller.principal, "auth.denied", asked, "", false, std::string(allowed.message())}));
    return allowed;
  }
  return caller;
}

absl::StatusOr<data::v1::DatasetVersion> DataServiceImpl::Register(
    grpc::ServerContext& context, grpc::ServerReader<data::v1::RegisterDatasetRequest>& reader) {
  data::v1::RegisterDatasetRequest message;
  if (!reader.Read(&message) || !message.has_header()) {
    return absl::InvalidArgumentError("the first message of RegisterDataset must be the header");
  }
  const std::string unit = UnitOf(message.header().name());
  ASSIGN_OR_RETURN(const Identity caller, Caller(context, Permission::kRegisterData, &unit));
  ASSIGN_OR_RETURN(std::unique_ptr<DatasetIntake> intake,
                   governance_->catalog().Begin(message.header(), caller.principal));
  while (reader.Read(&message)) {
    if (message.part_case() != data::v1::RegisterDatasetRequest::kData ||
        message.data().size() > kMessageBytesMax) {
      return absl::InvalidArgumentError(
          "after the header only data of at most 1 MiB a message may follow");
    }
    RETURN_IF_ERROR(intake->Append(message.data()));
  }
  if (context.IsCancelled())
    return absl::CancelledError("the upload was broken off; nothing was registered");
  ASSIGN_OR_RETURN(data::v1::DatasetVersion version, intake->Finish());
  RETURN_IF_ERROR(governance_->audit().Append(
      {caller.principal, "dataset.register",
       absl::StrCat(version.header().name(), "@", version.version()), "", true,
       absl::StrCat("sha256 ", version.sha256(), ", ", version.pii_size(),
                    " kinds of personal data")}));
  return version;
}

grpc::Status DataServiceImpl::RegisterDataset(
    grpc::ServerContext* context, grpc::ServerReader<data::v1::RegisterDatasetRequest>* reader,
    data::v1::DatasetVersion* response) {
  return Answer(Register(*context, *reader), response);
}

grpc::Status DataServiceImpl::GetDataset(grpc::ServerContext* context,
                                         const data::v1::GetDatasetRequest* request,
                                         data::v1::DatasetVersion* response) {
  if (auto caller = Caller(*context, Permission::kViewData); !caller.ok())
    return ToGrpcStatus(caller.status());
  return Answer(governance_->catalog().Get(request->ref()), response);
}

grpc::Status DataServiceImpl::ListDatasets(grpc::ServerContext* context,
                                           const data::v1::ListDatasetsRequest*,
                                           data::v1::ListDatasetsResponse* response) {
  if (auto caller = Caller(*context, Permission::kViewData); !caller.ok())
    return ToGrpcStatus(caller.status());
  return Answer(governance_->catalog().List(), response);
}

grpc::Status DataServiceImpl::CheckAccess(grpc::ServerContext* context,
                                          const data::v1::CheckAccessRequest* request,
                                          data::v1::AccessDecision* response) {
  const auto caller = Caller(*context, Permission::kViewData);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  return Answer(governance_->Check(*caller, request->dataset(), request->purpose()), response);
}

grpc::Status DataServiceImpl::OpenDataset(grpc::ServerContext* context,
                                          const data::v1::OpenDatasetRequest* request,
                                          data::v1::OpenDatasetResponse* response) {
  const auto caller = Caller(*context, Permission::kOpenData);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  return Answer(governance_->Open(*caller, request->dataset(), request->purpose()), response);
}

grpc::Status DataServiceImpl::ReadDataset(grpc::ServerContext* context,
                                          const data::v1::ReadDatasetRequest* request,
                                          grpc::ServerWriter<data::v1::DataChunk>* writer) {
  const auto caller = Caller(*context, Permission::kOpenData);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const auto file = governance_->ResolveRead(*caller, *request);
  if (!file.ok()) return ToGrpcStatus(file.status());
  std::ifstream stream(file->path, std::ios::binary);
  stream.seekg(request->offset());
  int64_t offset = request->offset();
  while (offset < file->size_bytes) {
    data::v1::DataChunk chunk;
    chunk.mutable_data()->resize(
        std::min<size_t>(kChunkBytes, static_cast<size_t>(file->size_bytes - offset)));
    if (!stream.read(chunk.mutable_data()->data(),
                     static_cast<std::streamsize>(chunk.data().size()))) {
      return ToGrpcStatus(absl::DataLossError(absl::StrCat(
          "the content of ", request->path(), " ends at byte ", offset, " of ", file->size_bytes)));
    }
    chunk.set_offset(offset);
    offset += static_cast<int64_t>(chunk.data().size());
    if (!writer->Write(chunk)) return ToGrpcStatus(absl::CancelledError("the reader has gone"));
  }
  return grpc::Status::OK;
}

grpc::Status DataServiceImpl::ListRules(grpc::ServerContext* context,
                                        const data::v1::ListRulesRequest*,
                                        data::v1::ListRulesResponse* response) {
  if (auto caller = Caller(*context, Permission::kViewData); !caller.ok())
    return ToGrpcStatus(caller.status());
  auto rules = governance_->Rules();
  if (!rules.ok()) return ToGrpcStatus(rules.status());
  for (data::v1::PolicyRule& rule : *rules) *response->add_rules() = std::move(rule);
  return grpc::Status::OK;
}

grpc::Status DataServiceImpl::PutRule(grpc::ServerContext* context,
                                      const data::v1::PutRuleRequest* request,
                                      data::v1::PolicyRule* response) {
  const std::string unit = UnitOfRule(request->rule());
  auto caller = Caller(*context, Permission::kManagePolicy, &unit);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  // Replacing a rule takes it away from whoever it was for.
  const auto rules = governance_->Rules();
  if (!rules.ok()) return ToGrpcStatus(rules.status());
  for (const data::v1::PolicyRule& before : *rules) {
    if (before.id() != request->rule().id()) continue;
    const std::string unit_before = UnitOfRule(before);
    caller = Caller(*context, Permission::kManagePolicy, &unit_before);
    if (!caller.ok()) return ToGrpcStatus(caller.status());
  }
  if (absl::Status put = governance_->PutRule(*caller, request->rule()); !put.ok())
    return ToGrpcStatus(put);
  *response = request->rule();
  return grpc::Status::OK;
}

grpc::Status DataServiceImpl::QueryAudit(grpc::ServerContext* context,
                                         const data::v1::QueryAuditRequest* request,
                                         data::v1::QueryAuditResponse* response) {
  const auto caller = Caller(*context, Permission::kViewAudit);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  const auto visible = [&](const data::v1::AuditRecord& record) { return MaySee(*caller, record); };
  return Answer(governance_->audit().Query(*request, visible), response);
}

grpc::Status DataServiceImpl::VerifyAudit(grpc::ServerContext* context,
                                          const data::v1::VerifyAuditRequest*,
                                          data::v1::VerifyAuditResponse* response) {
  if (auto caller = Caller(*context, Permission::kViewAudit); !caller.ok())
    return ToGrpcStatus(caller.status());
  return Answer(governance_->audit().Verify(), response);
}

}  // namespace oneai::gov
