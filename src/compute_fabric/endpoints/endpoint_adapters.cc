// LoRA adapters of a serving endpoint:
//   rights -> names -> resolve -> try at every ready replica -> write down -> replicas follow
#include <algorithm>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "compute_fabric/endpoints/endpoint_requests.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"

namespace oneai::fabric {
namespace {

absl::Status CheckNames(const v1::ChangeAdaptersRequest& request) {
  if (request.add().empty() && request.remove().empty())
    return absl::InvalidArgumentError("name an adapter to add or to remove");
  if (request.add_size() > kEndpointAdaptersMax || request.remove_size() > kEndpointAdaptersMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("at most ", kEndpointAdaptersMax, " adapters at a time"));
  }
  std::set<std::string> names(request.remove().begin(), request.remove().end());
  for (const v1::EndpointAdapter& adapter : request.add()) {
    RETURN_IF_ERROR(ValidateName("adapters.name", adapter.name()));
    if (names.insert(adapter.name()).second) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "the adapter ", adapter.name(), " is named twice; remove it first, then add the other"));
  }
  return absl::OkStatus();
}

bool Has(const v1::EndpointSpec& spec, const std::string& name) {
  return std::any_of(spec.adapters().begin(), spec.adapters().end(),
                     [&](const v1::EndpointAdapter& a) { return a.name() == name; });
}

absl::Status CheckAgainst(const v1::EndpointSpec& spec, const v1::ChangeAdaptersRequest& request) {
  for (const std::string& name : request.remove()) {
    if (Has(spec, name)) continue;
    return absl::NotFoundError(
        absl::StrCat("endpoint ", spec.name(), " has no adapter ", name.substr(0, kNameLengthMax),
                     "; `oneai endpoint adapter list ", spec.name(), "` shows what it has"));
  }
  for (const v1::EndpointAdapter& adapter : request.add()) {
    if (!Has(spec, adapter.name())) continue;
    return absl::AlreadyExistsError(absl::StrCat("endpoint ", spec.name(), " has an adapter ",
                                                 adapter.name(),
                                                 "; remove it first, or choose another name"));
  }
  const int after = spec.adapters_size() - request.remove_size() + request.add_size();
  if (after <= kEndpointAdaptersMax) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("endpoint ", spec.name(), " would have ", after,
                                                   " adapters; at most ", kEndpointAdaptersMax,
                                                   ": remove some first"));
}

std::string Words(const v1::ChangeAdaptersRequest& request) {
  std::vector<std::string> words;
  for (const v1::EndpointAdapter& adapter : request.add())
    words.push_back(absl::StrCat("+", adapter.name(), "=", adapter.model()));
  for (const std::string& name : request.remove()) words.push_back(absl::StrCat("-", name));
  return absl::StrJoin(words, " ");
}

// Takes out what `request` removes or adds again.
template <typename List, typename NameOf>
void Drop(List& list, const v1::ChangeAdaptersRequest& request, NameOf name_of) {
  std::set<std::string> names(request.remove().begin(), request.remove().end());
  for (const v1::EndpointAdapter& adapter : request.add()) names.insert(adapter.name());
  list.erase(std::remove_if(list.begin(), list.end(),
                            [&](const auto& item) { return names.contains(name_of(item)); }),
             list.end());
}

}  // namespace

absl::StatusOr<v1::Endpoint> EndpointRequests::ChangeAdapters(
    const v1::ChangeAdaptersRequest& request, const Identity& caller) {
  const Record<v1::Endpoint> before = state_->endpoints().Find(request.endpoint());
  if (before.value == nullptr) {
    return absl::NotFoundError(absl::StrCat("no endpoint ",
                                            request.endpoint().substr(0, kNameLengthMax),
                                            "; `oneai endpoint list` shows what there is"));
  }
  RETURN_IF_ERROR(CheckNames(request));
  const absl::Status allowed =
      CheckDeployRight(request.endpoint(), before.value->spec().project(), caller);
  const absl::StatusOr<v1::Endpoint> changed =
      allowed.ok() ? ChangeAdaptersChecked(request, *before.value, caller) : allowed;
  if (hooks_->audit) {
    hooks_->audit({caller, "endpoint.adapters", absl::StrCat("endpoint/", request.endpoint()),
                   changed.ok(),
                   changed.ok() ? Words(request) : std::string(changed.status().message())});
  }
  return changed;
}

absl::StatusOr<v1::Endpoint> EndpointRequests::ChangeAdaptersChecked(
    const v1::ChangeAdaptersRequest& request, const v1::Endpoint& before, const Identity& caller) {
  const JobRecord job = state_->jobs().Find(before.job_id());
  if (rollout_ == nullptr || before.state() == v1::DELETING || job.value == nullptr ||
      IsFinished(job.value->state())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "endpoint ", request.endpoint(), " has no replicas that could take other adapters"));
  }
  RETURN_IF_ERROR(CheckAgainst(before.spec(), request));
  v1::ChangeAdaptersRequest resolved = request;
  std::vector<AdapterFolder> added;
  for (v1::EndpointAdapter& adapter : *resolved.mutable_add()) {
    const absl::StatusOr<ResolvedModel> found =
        hooks_->resolve_model(adapter.model(), ModelUse::kAdapter, caller);
    if (!found.ok()) return Annotate(found.status(), absl::StrCat("adapter ", adapter.name()));
    adapter.set_resolved_model(found->name_at_version);
    added.push_back({adapter.name(), found->dir});
  }
  std::vector<std::string> tried;
  bool written = false;
  const absl::Cleanup settle = [&] {
    for (const std::string& name : tried) {
      if (!written) rollout_->Withdraw(request.endpoint(), name);
      rollout_->Settle(request.endpoint(), name);
    }
    rollout_->Nudge();
  };
  for (const AdapterFolder& adapter : added) {
    RETURN_IF_ERROR(rollout_->Try(request.endpoint(), adapter));
    tried.push_back(adapter.name);
  }
  absl::StatusOr<v1::Endpoint> changed = WriteAdapters(resolved, before, added);
  written = changed.ok();
  return changed;
}

absl::StatusOr<v1::Endpoint> EndpointRequests::WriteAdapters(
    const v1::ChangeAdaptersRequest& request, const v1::Endpoint& before,
    const std::vector<AdapterFolder>& added) {
  // The job first: what it says is what replicas hold, now and after a restart.
  bool written = false;
  RETURN_IF_ERROR(state_
                      ->UpdateJob(before.job_id(),
                                  [&](v1::Job& job, EventDrafts& events) {
                                    if (IsFinished(job.state())) return false;
                                    std::vector<AdapterFolder> adapters = AdaptersOf(job);
                                    Drop(adapters, request,
                                         [](const AdapterFolder& a) { return a.name; });
                                    adapters.insert(adapters.end(), added.begin(), added.end());
                                    written = SetAdapters(job, adapters);
                                    if (written) {
                                      events.push_back({"endpoint.adapters", request.endpoint(),
                                                        Words(request), "info"});
                                    }
                                    return written;
                                  })
                      .status());
  if (!written) {
    return absl::AbortedError(
        absl::StrCat("endpoint ", request.endpoint(),
                     " has just been changed by somebody else; look and retry"));
  }
  ASSIGN_OR_RETURN(
      const Record<v1::Endpoint> after,
      state_->UpdateEndpoint(request.endpoint(), [&](v1::Endpoint& endpoint, EventDrafts&) {
        if (endpoint.job_id() != before.job_id()) return false;
        auto& adapters = *endpoint.mutable_spec()->mutable_adapters();
        Drop(adapters, request, [](const v1::EndpointAdapter& a) { return a.name(); });
        adapters.Add(request.add().begin(), request.add().end());
        return true;
      }));
  return Describe(*after.value);
}

}  // namespace oneai::fabric
