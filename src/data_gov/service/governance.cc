#include <google/protobuf/util/time_util.h>

#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/status.h"
#include "data_gov/policy/policy.h"
#include "data_gov/service/data_service.h"

namespace oneai::gov {
namespace {

constexpr absl::Duration kGrantLifetime = absl::Hours(1);

std::string RefOf(const data::v1::DatasetVersion& version) {
  return absl::StrCat(version.header().name(), "@", version.version());
}

}  // namespace

absl::Status DataGovernance::InstallDefaultRules() {
  ASSIGN_OR_RETURN(const std::vector<data::v1::PolicyRule> rules, Rules());
  if (!rules.empty()) return absl::OkStatus();
  Transaction transaction;
  for (const data::v1::PolicyRule& rule : DefaultRules()) {
    transaction.Put(absl::StrCat("rules/", rule.id()), rule.SerializeAsString());
  }
  return store_->Commit(transaction).status();
}

absl::StatusOr<std::vector<data::v1::PolicyRule>> DataGovernance::Rules() const {
  ASSIGN_OR_RETURN(const RangeResult stored, store_->List("rules/"));
  std::vector<data::v1::PolicyRule> rules;
  for (const KeyValue& item : stored.items) {
    // A rule that does not parse might be a forbid: refuse to decide without it.
    if (!rules.emplace_back().ParseFromString(item.value)) {
      return absl::DataLossError(absl::StrCat("policy rule ", item.key, " does not parse"));
    }
  }
  return rules;
}

absl::Status DataGovernance::PutRule(const Identity& caller, const data::v1::PolicyRule& rule) {
  RETURN_IF_ERROR(ValidateRule(rule));
  RETURN_IF_ERROR(
      audit_->Append({caller.principal, "rule.put", rule.id(), "", true, rule.ShortDebugString()}));
  return store_
      ->Commit(Transaction().Put(absl::StrCat("rules/", rule.id()), rule.SerializeAsString()))
      .status();
}

absl::StatusOr<data::v1::AccessDecision> DataGovernance::Check(const Identity& caller,
                                                               const std::string& dataset,
                                                               const std::string& purpose) const {
  RETURN_IF_ERROR(ValidatePurpose(purpose));
  ASSIGN_OR_RETURN(const data::v1::DatasetVersion version, catalog_->Get(dataset));
  ASSIGN_OR_RETURN(const std::vector<data::v1::PolicyRule> rules, Rules());
  return Evaluate(rules, {caller.principal, purpose, &version});
}

absl::StatusOr<data::v1::OpenDatasetResponse> DataGovernance::Open(const Identity& caller,
                                                                   const std::string& dataset,
                                                                   const std::string& purpose) {
  RETURN_IF_ERROR(ValidatePurpose(purpose));
  ASSIGN_OR_RETURN(data::v1::DatasetVersion version, catalog_->Get(dataset));
  ASSIGN_OR_RETURN(const std::vector<data::v1::PolicyRule> rules, Rules());
  const data::v1::AccessDecision decision = Evaluate(rules, {caller.principal, purpose, &version});
  RETURN_IF_ERROR(
      audit_->Append({caller.principal, "dataset.open", RefOf(version), purpose, decision.allowed(),
                      absl::StrCat(decision.rule(), ": ", decision.explanation())}));
  if (!decision.allowed()) return absl::PermissionDeniedError(decision.explanation());

  const absl::Time expires = clock_->Now() + kGrantLifetime;
  data::v1::Grant grant;
  grant.set_id(NewId("grant-"));
  *grant.mutable_principal() = caller.principal;
  grant.set_dataset(version.header().name());
  grant.set_version(version.version());
  grant.set_purpose(purpose);
  grant.set_expires_unix_ms(absl::ToUnixMillis(expires));
  RETURN_IF_ERROR(store_
                      ->Commit(Transaction().Put(absl::StrCat("grants/", grant.id()),
                                                 grant.SerializeAsString()))
                      .status());

  data::v1::OpenDatasetResponse response;
  response.set_grant_id(grant.id());
  *response.mutable_dataset() = std::move(version);
  *response.mutable_expires() =
      google::protobuf::util::TimeUtil::MillisecondsToTimestamp(grant.expires_unix_ms());
  return response;
}

absl::StatusOr<DataGovernance::OpenFile> DataGovernance::ResolveRead(
    const Identity& caller, const data::v1::ReadDatasetRequest& request) {
  const absl::StatusOr<KeyValue> item = store_->Get(absl::StrCat("grants/", request.grant_id()));
  data::v1::Grant grant;
  if (!item.ok() || !grant.ParseFromString(item->value) ||
      grant.principal().kind() != caller.principal.kind() ||
      grant.principal().name() != caller.principal.name() ||
      grant.principal().business_unit() != caller.principal.business_unit() ||
      grant.expires_unix_ms() <= absl::ToUnixMillis(clock_->Now())) {
    const absl::Status refused = absl::PermissionDeniedError(
        "this grant is unknown, has expired or belongs to somebody else; open the dataset again");
    RETURN_IF_ERROR(audit_->Append(
        {caller.principal, "dataset.read", "", "", false, std::string(refused.message())}));
    return refused;
  }
  ASSIGN_OR_RETURN(const data::v1::DatasetVersion version,
                   catalog_->Get(absl::StrCat(grant.dataset(), "@", grant.version())));
  ASSIGN_OR_RETURN(const std::filesystem::path path,
                   catalog_->ContentPath(version, request.path()));
  int64_t size_bytes = 0;
  for (const data::v1::DatasetFile& file : version.header().files()) {
    if (file.path() == request.path()) size_bytes = file.size_bytes();
  }
  if (request.offset() < 0 || request.offset() > size_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("offset ", request.offset(), " is outside ",
                                                   request.path(), " of ", size_bytes, " bytes"));
  }
  RETURN_IF_ERROR(
      audit_->Append({caller.principal, "dataset.read", RefOf(version), grant.purpose(), true,
                      absl::StrCat(request.path(), " from byte ", request.offset())}));
  return OpenFile{path.string(), size_bytes};
}

}  // namespace oneai::gov
