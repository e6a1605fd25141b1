#include "compute_fabric/endpoints/endpoint_requests.h"

#include <google/protobuf/util/message_differencer.h>

#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/status.h"
#include "compute_fabric/endpoints/endpoint_view.h"
#include "compute_fabric/endpoints/replica_count.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"

namespace oneai::fabric {
namespace {

absl::Status NoSuchEndpoint(absl::string_view name) {
  return absl::NotFoundError(absl::StrCat("no endpoint ", name.substr(0, kNameLengthMax),
                                          "; `oneai endpoint list` shows what there is"));
}

// Whether the running job can go on: nothing differs but how many replicas there are.
bool OnlyReplicasDiffer(v1::EndpointSpec a, const v1::EndpointSpec& b) {
  a.set_replicas(b.replicas());
  a.set_replicas_min(b.replicas_min());
  a.set_replicas_max(b.replicas_max());
  a.set_target_in_flight(b.target_in_flight());
  a.set_model(b.model());  // compared as resolved
  return google::protobuf::util::MessageDifferencer::Equals(a, b);
}

}  // namespace

absl::Status EndpointRequests::CheckDeployRight(const std::string& name, const std::string& project,
                                                const Identity& caller) const {
  RETURN_IF_ERROR(CheckPermission(caller, Permission::kDeployEndpoint, BusinessUnitOf(project)));
  // A name is a promise to its clients: only its owners may point it elsewhere.
  const Record<v1::Endpoint> existing = state_->endpoints().Find(name);
  if (existing.value == nullptr) return absl::OkStatus();
  return CheckPermission(caller, Permission::kDeployEndpoint,
                         BusinessUnitOf(existing.value->spec().project()));
}

absl::StatusOr<v1::Endpoint> EndpointRequests::Deploy(const v1::DeployEndpointRequest& request,
                                                      const Identity& caller) {
  RETURN_IF_ERROR(ValidateEndpointSpec(request.spec()));
  const absl::Status allowed =
      CheckDeployRight(request.spec().name(), request.spec().project(), caller);
  const absl::StatusOr<v1::Endpoint> endpoint =
      allowed.ok() ? DeployChecked(request, caller) : allowed;
  if (hooks_->audit) {
    hooks_->audit(
        {caller, "endpoint.deploy", absl::StrCat("endpoint/", request.spec().name()), endpoint.ok(),
         endpoint.ok() ? endpoint->resolved_model() : std::string(endpoint.status().message())});
  }
  return endpoint;
}

absl::StatusOr<v1::Endpoint> EndpointRequests::DeployChecked(
    const v1::DeployEndpointRequest& request, const Identity& caller) {
  if (!hooks_->resolve_model)
    return absl::FailedPreconditionError("this controller has no model registry");
  v1::EndpointSpec spec = request.spec();
  ASSIGN_OR_RETURN(const ServedModels models, Resolve(spec, caller));
  // Part of the spec, so that a newer version of an adapter is a change of it.
  for (int i = 0; i < spec.adapters_size(); ++i)
    spec.mutable_adapters(i)->set_resolved_model(models.adapters[i].second.name_at_version);
  const Record<v1::Endpoint> before = state_->endpoints().Find(spec.name());
  int num_before = 0;
  if (before.value != nullptr) {
    if (before.value->state() == v1::DELETING) {
      return absl::FailedPreconditionError(
          absl::StrCat("endpoint ", spec.name(), " is being deleted; retry in a moment"));
    }
    const JobRecord job = state_->jobs().Find(before.value->job_id());
    const bool alive = job.value != nullptr && !IsFinished(job.value->state());
    if (alive && before.value->resolved_model() == models.model.name_at_version &&
        OnlyReplicasDiffer(before.value->spec(), spec)) {
      return Scale(spec, *before.value, *job.value);
    }
    if (alive) num_before = ReplicasWanted(*job.value);
  }
  v1::Endpoint endpoint;
  *endpoint.mutable_spec() = spec;
  endpoint.set_state(v1::DEPLOYING);
  endpoint.set_resolved_model(models.model.name_at_version);
  SetTime(endpoint.mutable_created(), state_->Now());
  v1::SubmitJobRequest submit;
  submit.set_request_id(absl::StrCat(
      "deploy:", request.request_id().empty() ? NewId("") : request.request_id().substr(0, 120)));
  ASSIGN_OR_RETURN(*submit.mutable_spec(),
                   MakeJobSpec(spec, models, ReplicasToStartWith(spec, num_before)));
  const absl::StatusOr<v1::SubmitJobResponse> submitted =
      jobs_->SubmitChecked(submit, caller, &endpoint, before.revision);
  if (absl::IsAborted(submitted.status())) {
    return absl::AbortedError(absl::StrCat(
        "endpoint ", spec.name(), " has just been changed by somebody else; look and retry"));
  }
  RETURN_IF_ERROR(submitted.status());
  const Record<v1::Endpoint> after = state_->endpoints().Find(spec.name());
  if (after.value == nullptr)
    return NoSuchEndpoint(spec.name());  // deleted since, by an earlier use of this request id
  return Describe(*after.value);
}

absl::StatusOr<ServedModels> EndpointRequests::Resolve(const v1::EndpointSpec& spec,
                                                       const Identity& caller) const {
  ServedModels models;
  ASSIGN_OR_RETURN(models.model, hooks_->resolve_model(spec.model(), ModelUse::kModel, caller));
  if (!spec.draft_model().empty()) {
    absl::StatusOr<ResolvedModel> draft =
        hooks_->resolve_model(spec.draft_model(), ModelUse::kModel, caller);
    if (!draft.ok()) return Annotate(draft.status(), "draft_model");
    models.draft = *std::move(draft);
  }
  for (const v1::EndpointAdapter& adapter : spec.adapters()) {
    absl::StatusOr<ResolvedModel> found =
        hooks_->resolve_model(adapter.model(), ModelUse::kAdapter, caller);
    if (!found.ok()) return Annotate(found.status(), absl::StrCat("adapters, ", adapter.name()));
    models.adapters.emplace_back(adapter.name(), *std::move(found));
  }
  return models;
}

absl::StatusOr<v1::JobSpec> EndpointRequests::MakeJobSpec(const v1::EndpointSpec& spec,
                                                          const ServedModels& models,
                                                          int num_replicas) const {
  v1::JobSpec job = ServeJobSpec(spec, models, num_replicas);
  const bool chooses = spec.latency_class() != v1::LATENCY_CLASS_UNSPECIFIED;
  if (chooses && spec.resources().devices().empty()) {
    const std::vector<Record<v1::Node>> records = state_->nodes().All();
    std::vector<const v1::Node*> nodes;
    for (const Record<v1::Node>& node : records) nodes.push_back(node.value.get());
    ASSIGN_OR_RETURN(const std::vector<v1::DeviceRequest> devices,
                     ChooseDevices(spec.latency_class(), spec.resources(), KindsOf(nodes),
                                   state_->prices(), measured_));
    job.mutable_resources()->mutable_devices()->Assign(devices.begin(), devices.end());
  }
  if (IsScaled(spec)) RETURN_IF_ERROR(CheckMost(job, spec));
  return job;
}

absl::Status EndpointRequests::CheckMost(v1::JobSpec job, const v1::EndpointSpec& spec) const {
  job.set_num_tasks(spec.replicas_max());
  return Annotate(jobs_->CheckFits(job), "replicas_max");
}

absl::StatusOr<v1::Endpoint> EndpointRequests::Scale(const v1::EndpointSpec& spec,
                                                     const v1::Endpoint& before,
                                                     const v1::Job& running) {
  const int replicas = ReplicasToStartWith(spec, ReplicasWanted(running));
  if (IsScaled(spec)) {
    RETURN_IF_ERROR(CheckMost(running.spec(), spec));
  } else {
    v1::JobSpec fixed = running.spec();
    fixed.set_num_tasks(replicas);
    RETURN_IF_ERROR(jobs_->CheckFits(fixed));
  }
  RETURN_IF_ERROR(state_
                      ->UpdateJob(before.job_id(),
                                  [&](v1::Job& job, EventDrafts& events) {
                                    if (!SetReplicasWanted(job, replicas)) return false;
                                    Advance(job, state_->Now(), events);
                                    events.push_back({"endpoint.scaled", spec.name(),
                                                      absl::StrCat("to ", replicas, " replicas"),
                                                      "info"});
                                    return true;
                                  })
                      .status());
  ASSIGN_OR_RETURN(const Record<v1::Endpoint> after,
                   state_->UpdateEndpoint(spec.name(), [&](v1::Endpoint& copy, EventDrafts&) {
                     if (copy.job_id() != before.job_id()) return false;
                     *copy.mutable_spec() = spec;
                     return true;
                   }));
  return Describe(*after.value);
}

absl::Status EndpointRequests::Delete(const std::string& name, const Identity& caller) {
  const Record<v1::Endpoint> endpoint = state_->endpoints().Find(name);
  if (endpoint.value == nullptr) return NoSuchEndpoint(name);
  absl::Status outcome = CheckDeployRight(name, endpoint.value->spec().project(), caller);
  if (outcome.ok()) {
    outcome = state_
                  ->UpdateEndpoint(
                      name,
                      [&](v1::Endpoint& copy, EventDrafts& events) {
                        if (copy.state() == v1::DELETING) return false;
                        copy.set_state(v1::DELETING);
                        events.push_back({"endpoint.deleted", name,
                                          absl::StrCat("by ", caller.principal.name()), "info"});
                        return true;
                      })
                  .status();
  }
  if (hooks_->audit) {
    hooks_->audit({caller, "endpoint.delete", absl::StrCat("endpoint/", name), outcome.ok(),
                   std::string(outcome.message())});
  }
  return outcome;
}

v1::Endpoint EndpointRequests::Describe(const v1::Endpoint& endpoint) const {
  v1::Endpoint described = DescribeEndpoint(
      endpoint, state_->jobs().Find(endpoint.job_id()).value.get(), state_->nodes());
  if (scaler_ != nullptr && IsScaled(endpoint.spec()))
    described.set_scaling_reason(scaler_->ReasonOf(endpoint.spec().name()));
  return described;
}

absl::StatusOr<v1::Endpoint> EndpointRequests::Get(const std::string& name,
                                                   const Identity& caller) const {
  const Record<v1::Endpoint> endpoint = state_->endpoints().Find(name);
  if (endpoint.value == nullptr) return NoSuchEndpoint(name);
  const absl::Status allowed = CheckPermission(caller, Permission::kViewFabric,
                                               BusinessUnitOf(endpoint.value->spec().project()));
  if (!allowed.ok()) {
    if (hooks_->audit) {
      hooks_->audit({caller, "endpoint.view", absl::StrCat("endpoint/", name), false,
                     std::string(allowed.message())});
    }
    return allowed;
  }
  return Describe(*endpoint.value);
}

v1::ListEndpointsResponse EndpointRequests::List(const Identity& caller) const {
  v1::ListEndpointsResponse response;
  for (const Record<v1::Endpoint>& endpoint : state_->endpoints().All()) {
    const absl::string_view unit = BusinessUnitOf(endpoint.value->spec().project());
    if (CheckPermission(caller, Permission::kViewFabric, unit).ok())
      *response.add_endpoints() = Describe(*endpoint.value);
  }
  return response;
}

}  // namespace oneai::fabric
