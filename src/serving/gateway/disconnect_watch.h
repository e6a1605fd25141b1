// File: serving/gateway/disconnect_watch.h
//
// Cancels replica calls whose HTTP client has gone, also while neither side is sending anything.
#pragma once

#include <grpcpp/client_context.h>

#include <map>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/http/server.h"

namespace oneai::serving {

// Start() to Stop(). Thread-safe. Looks at every call twenty times a second.
class DisconnectWatch {
 public:
  DisconnectWatch() = default;
  ~DisconnectWatch() { Stop(); }
  void Start();
  void Stop();
  // From now until Remove(), a client that goes away cancels `context`. Both must live until then.
  void Add(const HttpResponder* client, grpc::ClientContext* context);
  void Remove(grpc::ClientContext* context);

 private:
  void Loop();

  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::map<grpc::ClientContext*, const HttpResponder*> calls_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace oneai::serving
