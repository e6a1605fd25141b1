// File: serving/gateway/endpoint_directory.cc
#include "serving/gateway/endpoint_directory.h"

#include <algorithm>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/log/log.h"

namespace oneai::serving {
namespace {

constexpr absl::Duration kSuspicion = absl::Seconds(2);
constexpr absl::Duration kRetryMax = absl::Seconds(2);

// To a client, "does not exist" is final; a gateway that has just started cannot say that.
absl::Status NotYetKnown() {
  return absl::UnavailableError(
      "this gateway has just started and does not know the models yet; retry");
}

}  // namespace

std::map<std::string, EndpointView> ToEndpointViews(
    const fabric::v1::ListEndpointsResponse& response) {
  std::map<std::string, EndpointView> views;
  for (const fabric::v1::Endpoint& endpoint : response.endpoints()) {
    EndpointView view;
    view.name = endpoint.spec().name();
    const std::vector<std::string> project = absl::StrSplit(endpoint.spec().project(), '/');
    view.business_unit = project.front();
    view.version = endpoint.resolved_model();
    view.max_context_tokens = endpoint.spec().max_context_tokens();
    view.created_unix = endpoint.created().seconds();
    for (const fabric::v1::EndpointAdapter& adapter : endpoint.spec().adapters())
      view.adapters.push_back(adapter.name());
    for (const fabric::v1::Replica& replica : endpoint.replicas()) {
      if (replica.address().empty()) continue;
      view.replicas.push_back({replica.address(), replica.ready()});
    }
    views[view.name] = std::move(view);
  }
  return views;
}

void EndpointDirectory::Update(const fabric::v1::ListEndpointsResponse& response) {
  std::map<std::string, EndpointView> views = ToEndpointViews(response);
  std::set<std::string> addresses;
  for (const auto& [name, view] : views) {
    for (const ReplicaView& replica : view.replicas) addresses.insert(replica.address);
  }
  const auto has_left = [&](const auto& item) { return !addresses.contains(item.first); };
  absl::MutexLock lock(&mu_);
  std::erase_if(cursors_, [&](const auto& item) { return !views.contains(item.first); });
  endpoints_ = std::move(views);
  is_known_ = true;
  std::erase_if(stubs_, has_left);
  std::erase_if(suspects_, has_left);
}

absl::StatusOr<EndpointView> EndpointDirectory::Find(const std::string& model) const {
  absl::MutexLock lock(&mu_);
  if (!is_known_) return NotYetKnown();
  const auto it = endpoints_.find(model);
  if (it != endpoints_.end()) return it->second;
  return absl::NotFoundError(
      absl::StrCat("the model '", model.substr(0, 128),
                   "' does not exist; GET /v1/models lists those that you may call"));
}

absl::StatusOr<std::vector<EndpointView>> EndpointDirectory::List() const {
  absl::MutexLock lock(&mu_);
  if (!is_known_) return NotYetKnown();
  std::vector<EndpointView> list;
  for (const auto& [name, view] : endpoints_) list.push_back(view);
  return list;
}

absl::StatusOr<ReplicaTarget> EndpointDirectory::Pick(const std::string& model,
                                                      const std::set<std::string>& tried,
                                                      absl::Time now) {
  absl::MutexLock lock(&mu_);
  const auto it = endpoints_.find(model);
  if (it == endpoints_.end()) {
    return absl::UnavailableError(absl::StrCat("the model '", model, "' was just removed"));
  }
  std::vector<ReplicaView> replicas = it->second.replicas;
  for (ReplicaView& replica : replicas) {
    const auto suspect = suspects_.find(replica.address);
    if (suspect != suspects_.end()) replica.suspect_until = suspect->second;
  }
  uint64_t& cursor = cursors_[model];
  const std::optional<size_t> index = PickReplica(replicas, cursor, tried, now);
  if (!index.has_value()) {
    return absl::UnavailableError(
        absl::StrCat("no replica of '", model, "' is ready (", replicas.size(), " known); retry"));
  }
  cursor = *index + 1;
  const std::string& address = replicas[*index].address;
  std::shared_ptr<inference::v1::InferenceService::StubInterface>& stub = stubs_[address];
  if (stub == nullptr) stub = connect_(address);
  return ReplicaTarget{address, stub};
}

void EndpointDirectory::Suspect(const std::string& address, absl::Time now) {
  absl::MutexLock lock(&mu_);
  suspects_[address] = now + kSuspicion;
}

void EndpointWatch::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void EndpointWatch::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    if (call_ != nullptr) call_->TryCancel();
  }
  if (thread_.joinable()) thread_.join();
}

void EndpointWatch::Loop() {
  absl::BitGen random;
  absl::Duration retry = absl::Milliseconds(100);
  while (true) {
    grpc::ClientContext context;
    {
      absl::MutexLock lock(&mu_);
      if (stopping_) return;
      call_ = &context;
    }
    const auto reader = stub_->WatchEndpoints(&context, fabric::v1::WatchEndpointsRequest());
    fabric::v1::ListEndpointsResponse response;
    while (reader->Read(&response)) {
      directory_->Update(response);
      retry = absl::Milliseconds(100);
    }
    const grpc::Status status = reader->Finish();
    absl::MutexLock lock(&mu_);
    call_ = nullptr;
    if (stopping_) return;
    Log::Warning(
        "endpoint watch ended; the last known set stays in force",
        {{"code", static_cast<int>(status.error_code())}, {"error", status.error_message()}});
    mu_.AwaitWithTimeout(absl::Condition(&stopping_), retry * absl::Uniform(random, 0.5, 1.0));
    retry = std::min(retry * 2, kRetryMax);
  }
}

}  // namespace oneai::serving
