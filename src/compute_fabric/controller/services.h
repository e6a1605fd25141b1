// File: compute_fabric/controller/services.h
//
// The gRPC edge: authenticate, call the core, convert the status.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <atomic>
#include <memory>

#include "base/grpc/authenticator.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/hooks.h"
#include "compute_fabric/controller/job_requests.h"
#include "compute_fabric/controller/node_sessions.h"
#include "compute_fabric/controller/queue_requests.h"
#include "compute_fabric/endpoints/endpoint_requests.h"
#include "compute_fabric/endpoints/endpoint_scaler.h"
#include "compute_fabric/endpoints/usage_ledger.h"
#include "compute_fabric/joblog/log_store.h"
#include "compute_fabric/joblog/metric_store.h"

namespace oneai::fabric {

// Whether calls are served, and how many may wait at once. Thread-safe.
class CallGate {
 public:
  explicit CallGate(int streams_max) : streams_max_(streams_max) {}
  void Open() { open_ = true; }
  void Close() { open_ = false; }
  bool is_open() const { return open_; }
  bool TryEnterStream() {
    if (num_streams_.fetch_add(1) < streams_max_) return true;
    num_streams_.fetch_sub(1);
    return false;
  }
  void LeaveStream() { num_streams_.fetch_sub(1); }

 private:
  const int streams_max_;
  std::atomic<bool> open_{false};
  std::atomic<int> num_streams_{0};
};

// What the services work with; all outlive them.
struct ServiceDeps {
  FabricState* state;
  JobRequests* jobs;
  QueueRequests* queues;
  EndpointRequests* endpoints;
  UsageLedger* usage;
  EndpointScaler* scaler;
  NodeSessions* sessions;
  LogStore* logs;
  MetricStore* metrics;
  CallGate* gate;
  const ControllerHooks* hooks;
  const Authenticator* authenticator;
};

std::unique_ptr<grpc::Service> NewJobService(const ServiceDeps& deps);
std::unique_ptr<grpc::Service> NewNodeService(const ServiceDeps& deps);
std::unique_ptr<grpc::Service> NewEndpointService(const ServiceDeps& deps);
std::unique_ptr<grpc::Service> NewQueueService(const ServiceDeps& deps);

}  // namespace oneai::fabric
