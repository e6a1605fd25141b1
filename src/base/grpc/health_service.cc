#include "base/grpc/health_service.h"

#include <optional>

namespace oneai {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// One Watch stream. At most one write is in flight; a change meanwhile is seen when it ends. Its
// state is guarded by the service's mutex; gRPC's Start* calls run their reactions on other
// threads, so they may be made under it.
class HealthService::Watcher final : public grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  Watcher(HealthService* service, std::string name) : service_(service), name_(std::move(name)) {
    absl::MutexLock lock(&service_->mu_);
    service_->watchers_.insert(this);
    Advance();
  }

  // Sends the status if the client has not seen it; ends the stream when there is nothing more to
  // come.
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(service_->mu_) {
    if (writing_ || finished_) return;
    const ServingStatus now = service_->StatusOf(name_);
    if (!cancelled_ && sent_ != now) {
      sent_ = now;
      response_.set_status(now);
      writing_ = true;
      StartWrite(&response_);
    } else if (cancelled_ || service_->shut_down_) {
      finished_ = true;
      Finish(cancelled_ ? grpc::Status::CANCELLED
                        : grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server is stopping"));
    }
  }

  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&service_->mu_);
    writing_ = false;
    if (!ok) cancelled_ = true;
    Advance();
  }

  void OnCancel() override {
    absl::MutexLock lock(&service_->mu_);
    cancelled_ = true;
    Advance();
  }

  void OnDone() override {
    {
      absl::MutexLock lock(&service_->mu_);
      service_->watchers_.erase(this);
    }
    delete this;
  }

 private:
  HealthService* const service_;
  const std::string name_;
  HealthCheckResponse response_;
  std::optional<ServingStatus> sent_;
  bool writing_ = false;
  bool cancelled_ = false;
  bool finished_ = false;
};

HealthService::ServingStatus HealthService::StatusOf(const std::string& service) const {
  const auto it = statuses_.find(service);
  if (it == statuses_.end()) return HealthCheckResponse::SERVICE_UNKNOWN;
  return shut_down_ ? HealthCheckResponse::NOT_SERVING : it->second;
}

void HealthService::Set(const std::string& service, bool serving) {
  absl::MutexLock lock(&mu_);
  statuses_[service] = serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
  for (Watcher* watcher : watchers_) watcher->Advance();
}

void HealthService::Shutdown() {
  absl::MutexLock lock(&mu_);
  shut_down_ = true;
  for (Watcher* watcher : watchers_) watcher->Advance();
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const HealthCheckRequest* request,
                                               HealthCheckResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::ReleasableMutexLock lock(&mu_);
  const ServingStatus status = StatusOf(request->service());
  lock.Release();
  if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
    reactor->Finish(grpc::Status(grpc::StatusCode::NOT_FOUND,
                                 "no service \"" + request->service() + "\" on this server"));
  } else {
    response->set_status(status);
    reactor->Finish(grpc::Status::OK);
  }
  return reactor;
}

grpc::ServerWriteReactor<HealthCheckResponse>* HealthService::Watch(
    grpc::CallbackServerContext* /*context*/, const HealthCheckRequest* request) {
  return new Watcher(this, request->service());
}

}  // namespace oneai
