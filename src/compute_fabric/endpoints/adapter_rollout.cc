#include "compute_fabric/endpoints/adapter_rollout.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/status.h"
#include "compute_fabric/endpoints/endpoint_view.h"
#include "nlohmann/json.hpp"

namespace oneai::fabric {
namespace {

using nlohmann::ordered_json;

// Late replicas and lost calls are found by then.
constexpr absl::Duration kRoundInterval = absl::Seconds(5);

ordered_json SettingsOf(const v1::Job& job) {
  return ordered_json::parse(job.spec().config_json(), nullptr, false);
}

}  // namespace

AdapterChanges PlanAdapters(const std::vector<AdapterFolder>& wanted,
                            const std::vector<AdapterFolder>& loaded,
                            const std::set<std::string>& pending) {
  const auto in = [](const std::vector<AdapterFolder>& list, const AdapterFolder& adapter) {
    return std::find(list.begin(), list.end(), adapter) != list.end();
  };
  AdapterChanges changes;
  for (const AdapterFolder& adapter : loaded) {
    if (!pending.contains(adapter.name) && !in(wanted, adapter))
      changes.unload.push_back(adapter.name);
  }
  for (const AdapterFolder& adapter : wanted) {
    if (!pending.contains(adapter.name) && !in(loaded, adapter)) changes.load.push_back(adapter);
  }
  return changes;
}

std::vector<AdapterFolder> AdaptersOf(const v1::Job& job) {
  const ordered_json settings = SettingsOf(job);
  std::vector<AdapterFolder> adapters;
  if (!settings.is_object() || !settings.contains("adapters")) return adapters;
  for (const auto& [name, folder] : settings.at("adapters").items()) {
    if (folder.is_string()) adapters.push_back({name, folder.get<std::string>()});
  }
  std::sort(adapters.begin(), adapters.end(),
            [](const AdapterFolder& a, const AdapterFolder& b) { return a.name < b.name; });
  return adapters;
}

bool SetAdapters(v1::Job& job, const std::vector<AdapterFolder>& adapters) {
  ordered_json settings = SettingsOf(job);
  if (!settings.is_object()) return false;
  settings["adapters"] = ordered_json::object();
  for (const AdapterFolder& adapter : adapters) settings["adapters"][adapter.name] = adapter.folder;
  job.mutable_spec()->set_config_json(
      settings.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
  return true;
}

void AdapterRollout::Start() {
  if (replicas_ == nullptr) return;
  thread_ = std::thread([this] {
    for (;;) {
      {
        absl::MutexLock lock(&mu_);
        const auto wake = [this]()
                              ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return nudged_ || stopping_; };
        mu_.AwaitWithTimeout(absl::Condition(&wake), kRoundInterval);
        if (stopping_) return;
        nudged_ = false;
      }
      Round();
    }
  });
}

void AdapterRollout::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void AdapterRollout::Nudge() {
  absl::MutexLock lock(&mu_);
  nudged_ = true;
}

void AdapterRollout::Settle(const std::string& endpoint, const std::string& adapter) {
  absl::MutexLock lock(&mu_);
  pending_.erase({endpoint, adapter});
  nudged_ = true;
}

std::set<std::string> AdapterRollout::PendingOf(const std::string& endpoint) const {
  absl::MutexLock lock(&mu_);
  std::set<std::string> names;
  for (const auto& [of, name] : pending_) {
    if (of == endpoint) names.insert(name);
  }
  return names;
}

std::vector<std::string> AdapterRollout::ReadyReplicas(const std::string& endpoint) const {
  const Record<v1::Endpoint> found = state_->endpoints().Find(endpoint);
  std::vector<std::string> addresses;
  if (found.value == nullptr) return addresses;
  const v1::Endpoint described = DescribeEndpoint(
      *found.value, state_->jobs().Find(found.value->job_id()).value.get(), state_->nodes());
  for (const v1::Replica& replica : described.replicas()) {
    if (replica.ready()) addresses.push_back(replica.address());
  }
  return addresses;
}

absl::Status AdapterRollout::Try(const std::string& endpoint, const AdapterFolder& adapter) {
  const std::vector<std::string> addresses = ReadyReplicas(endpoint);
  if (replicas_ == nullptr || addresses.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("endpoint ", endpoint, " has no replica that is ready to try the adapter ",
                     adapter.name, "; retry when it serves"));
  }
  {
    absl::MutexLock lock(&mu_);
    if (!pending_.insert({endpoint, adapter.name}).second) {
      return absl::AbortedError(absl::StrCat("the adapter ", adapter.name, " of endpoint ",
                                             endpoint, " is being changed; look and retry"));
    }
  }
  for (const std::string& address : addresses) {
    const absl::Status loaded = replicas_->Load(address, adapter);
    if (loaded.ok()) continue;
    Withdraw(endpoint, adapter.name);
    Settle(endpoint, adapter.name);
    return Annotate(loaded, absl::StrCat("replica ", address));
  }
  return absl::OkStatus();
}

void AdapterRollout::Withdraw(const std::string& endpoint, const std::string& adapter) {
  for (const std::string& address : ReadyReplicas(endpoint))
    replicas_->Unload(address, adapter).IgnoreError();  // not there, or by a later round
}

void AdapterRollout::Round() {
  for (const Record<v1::Endpoint>& endpoint : state_->endpoints().All()) {
    const JobRecord job = state_->jobs().Find(endpoint.value->job_id());
    if (job.value == nullptr) continue;
    const std::string& name = endpoint.value->spec().name();
    const std::vector<AdapterFolder> wanted = AdaptersOf(*job.value);
    // An endpoint that never had any costs nothing; the mark that SetAdapters leaves behind an
    // empty list keeps one followed whose last adapter was removed.
    if (wanted.empty() && job.value->spec().config_json().find("\"adapters\"") == std::string::npos)
      continue;
    Follow(name, wanted);
  }
}

void AdapterRollout::Follow(const std::string& endpoint, const std::vector<AdapterFolder>& wanted) {
  for (const std::string& address : ReadyReplicas(endpoint)) FollowAt(address, endpoint, wanted);
}

void AdapterRollout::FollowAt(const std::string& address, const std::string& endpoint,
                              const std::vector<AdapterFolder>& wanted) {
  const absl::StatusOr<std::vector<AdapterFolder>> loaded = replicas_->List(address);
  absl::Status status = loaded.status();
  if (status.ok()) {
    const AdapterChanges changes = PlanAdapters(wanted, *loaded, PendingOf(endpoint));
    for (const std::string& name : changes.unload) {
      if (status.ok()) status = replicas_->Unload(address, name);
    }
    for (const AdapterFolder& adapter : changes.load) {
      if (status.ok()) status = replicas_->Load(address, adapter);
    }
  }
  if (!status.ok()) {
    Log::Warning("a replica does not follow its endpoint's adapters; it is asked again",
                 {{"endpoint", endpoint}, {"replica", address}, {"error", status}});
  }
}

}  // namespace oneai::fabric
