#include "controller/wiring.h"

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/status.h"
#include "model_platform/registry/version_files.h"
#include "model_platform/settings/settings.h"
#include "oneai/fabric/v1/job.pb.h"

namespace oneai {
namespace {

std::string UnitOfProject(const std::string& project) {
  return project.substr(0, project.find('/'));
}

// A job reads data as its project's business unit, on behalf of its submitter, who was checked for
// that unit when the job came in.
Identity ReaderOf(const fabric::v1::JobSpec& spec, const Identity& submitter) {
  Identity reader;
  reader.principal.set_kind(common::v1::Principal::JOB);
  reader.principal.set_business_unit(UnitOfProject(spec.project()));
  reader.principal.set_on_behalf_of(submitter.principal.name());
  return reader;
}

// Refuses at submit what the job would be refused when it opens the data, with the rule's own
// words.
absl::Status CheckDataUses(gov::DataGovernance& governance, const fabric::v1::JobSpec& spec,
                           const Identity& submitter) {
  const Identity reader = ReaderOf(spec, submitter);
  for (const fabric::v1::DataUse& use : spec.data()) {
    ASSIGN_OR_RETURN(const data::v1::AccessDecision decision,
                     governance.Check(reader, use.dataset(), use.purpose()));
    if (decision.allowed()) continue;
    RETURN_IF_ERROR(governance.audit().Append(
        {submitter.principal, "job.submit", use.dataset(), use.purpose(), false,
         absl::StrCat(decision.rule(), ": ", decision.explanation())}));
    return absl::PermissionDeniedError(decision.explanation());
  }
  return absl::OkStatus();
}

void AddDataUse(fabric::v1::JobSpec& spec, const std::string& dataset, const std::string& purpose) {
  fabric::v1::DataUse& use = *spec.add_data();
  use.set_dataset(dataset);
  use.set_purpose(purpose);
}

absl::Status PreparePretrain(absl::string_view config_json, const Identity&,
                             fabric::v1::JobSpec& spec) {
  ASSIGN_OR_RETURN(const platform::PretrainSettings settings,
                   platform::ParsePretrainSettings(config_json, "pretrain"));
  // A job registers in its own unit only; said now, not after hours of training.
  if (!settings.register_as.empty() &&
      UnitOfProject(settings.register_as) != UnitOfProject(spec.project())) {
    return absl::PermissionDeniedError(
        absl::StrCat("pretrain.register_as: a job of project ", spec.project(), " cannot register ",
                     settings.register_as, "; name it ", UnitOfProject(spec.project()), "/..."));
  }
  AddDataUse(spec, settings.dataset, settings.purpose);
  return absl::OkStatus();
}

// The model that `reference` names, if the submitter may view it: whoever runs a model sees it.
absl::StatusOr<registry::v1::ModelVersion> ViewModel(const platform::ModelRegistry& registry,
                                                     const std::string& reference,
                                                     const Identity& submitter) {
  RETURN_IF_ERROR(CheckPermission(submitter, Permission::kViewModels, UnitOfProject(reference)));
  return registry.Resolve(reference);
}

absl::Status PrepareEvaluate(const platform::ModelRegistry& registry, absl::string_view config_json,
                             const Identity& submitter, fabric::v1::JobSpec& spec) {
  ASSIGN_OR_RETURN(const platform::EvaluateSettings settings,
                   platform::ParseEvaluateSettings(config_json, "evaluate"));
  RETURN_IF_ERROR(ViewModel(registry, settings.model, submitter).status());
  AddDataUse(spec, settings.dataset, settings.purpose);
  return absl::OkStatus();
}

absl::StatusOr<fabric::TaskIdentity> IssueIdentity(const CertificateAuthority& ca,
                                                   const std::string& job_id,
                                                   const std::string& address) {
  CertificateRequest request;
  request.kind = "job";
  request.name = job_id;
  request.hosts = {address, "localhost"};
  ASSIGN_OR_RETURN(KeyPair pair, ca.Issue(request));
  return fabric::TaskIdentity{std::move(pair.certificate_pem), std::move(pair.private_key_pem),
                              ca.certificate_pem()};
}

}  // namespace

fabric::ControllerHooks MakeHooks(gov::DataGovernance* governance,
                                  platform::ModelRegistry* registry, gov::AuditLog* audit,
                                  CertificateAuthority ca) {
  fabric::ControllerHooks hooks;
  hooks.admission = [governance](const fabric::v1::JobSpec& spec, const Identity& submitter) {
    return CheckDataUses(*governance, spec, submitter);
  };
  hooks.kinds = {
      {"pretrain", PreparePretrain, {"oneai-train", "pretrain"}},
      {"evaluate",
       [registry](absl::string_view config_json, const Identity& submitter,
                  fabric::v1::JobSpec& spec) {
         return PrepareEvaluate(*registry, config_json, submitter, spec);
       },
       {"oneai-train", "evaluate"}},
      // Endpoints make these; their settings come from DeployEndpoint, which has checked them.
      {"serve",
       [](absl::string_view, const Identity&, fabric::v1::JobSpec&) { return absl::OkStatus(); },
       {"oneai-serve"}}};
  hooks.issue_identity = [ca = std::move(ca)](const std::string& job_id,
                                              const std::string& address) {
    return IssueIdentity(ca, job_id, address);
  };
  hooks.audit = [audit](const fabric::AuditEntry& entry) {
    const absl::Status written = audit->Append(
        {entry.identity.principal, entry.action, entry.resource, "", entry.allowed, entry.detail});
    if (!written.ok())
      Log::Error("the audit log cannot be written", {{"action", entry.action}, {"error", written}});
  };
  hooks.resolve_model = [registry](
                            const std::string& reference, fabric::ModelUse use,
                            const Identity& identity) -> absl::StatusOr<fabric::ResolvedModel> {
    ASSIGN_OR_RETURN(const registry::v1::ModelVersion model,
                     ViewModel(*registry, reference, identity));
    const bool is_adapter = model.architecture() == platform::kAdapterArchitecture;
    if (is_adapter != (use == fabric::ModelUse::kAdapter)) {
      return absl::InvalidArgumentError(
          absl::StrCat(model.name(), "@", model.version(),
                       is_adapter ? " is a LoRA adapter; name a model, and this one as an adapter"
                                  : " is a model, not a LoRA adapter"));
    }
    return fabric::ResolvedModel{absl::StrCat(model.name(), "@", model.version()), model.path()};
  };
  return hooks;
}

}  // namespace oneai
