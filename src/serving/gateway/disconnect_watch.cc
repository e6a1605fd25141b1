// File: serving/gateway/disconnect_watch.cc
#include "serving/gateway/disconnect_watch.h"

#include "absl/time/time.h"

namespace oneai::serving {

void DisconnectWatch::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void DisconnectWatch::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void DisconnectWatch::Add(const HttpResponder* client, grpc::ClientContext* context) {
  absl::MutexLock lock(&mu_);
  calls_[context] = client;
}

void DisconnectWatch::Remove(grpc::ClientContext* context) {
  absl::MutexLock lock(&mu_);
  calls_.erase(context);
}

void DisconnectWatch::Loop() {
  absl::MutexLock lock(&mu_);
  while (!mu_.AwaitWithTimeout(absl::Condition(&stopping_), absl::Milliseconds(50))) {
    // The lock keeps contexts alive here; both calls only set and read flags.
    for (const auto& [context, client] : calls_) {
      if (client->Cancelled()) context->TryCancel();
    }
  }
}

}  // namespace oneai::serving
