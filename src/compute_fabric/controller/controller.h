// File: compute_fabric/controller/controller.h
//
// The fabric's control plane as one object: what main wires, starts and serves.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/auth/access.h"
#include "base/clock.h"
#include "base/store/store.h"
#include "compute_fabric/controller/hooks.h"
#include "oneai/fabric/v1/endpoint.pb.h"
#include "oneai/fabric/v1/queue.pb.h"
#include "oneai/fabric/v1/job.pb.h"
#include "oneai/fabric/v1/node.pb.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace oneai {
class Authenticator;
}  // namespace oneai

namespace oneai::fabric {

// Create -> services() to the gRPC server -> Start() ... Stop() -> destroy after the server.
// Thread-safe.
//
// The services answer UNAVAILABLE before Start() and after Stop(). They are synchronous: a call
// that waits (a node's heartbeat, a watch, a followed log) holds one of the server's threads;
// options.streams_max bounds those of people, nodes have one or two each.
class Controller {
 public:
  // Reads the store and raises the epoch, so that an earlier controller on the same store can write
  // no more. `store` and `clock` must outlive the controller. InvalidArgument: a setting is wrong.
  // DataLoss: the store holds what it should not.
  static absl::StatusOr<std::unique_ptr<Controller>> Create(Store* store, const Clock* clock,
                                                            ControllerOptions options,
                                                            ControllerHooks hooks);
  ~Controller();

  // JobService, NodeService, EndpointService, QueueService. They live as long as the controller.
  // `authenticator` must outlive them.
  std::vector<grpc::Service*> services(const Authenticator* authenticator);

  // Gives every node a fresh lease and starts to schedule.
  void Start();
  // Ends every stream and long poll at once, then the loop. Idempotent.
  void Stop();

  // For code in the same process; no rights are checked.
  std::vector<v1::Job> ListJobs() const;  // newest first
  absl::StatusOr<v1::Job> GetJob(const std::string& id) const;
  std::vector<v1::Node> ListNodes() const;
  std::vector<v1::Endpoint> ListEndpoints() const;
  std::vector<v1::Queue> ListQueues() const;
  // Newest `limit` events of `subject` (empty: of all), oldest first.
  std::vector<v1::Event> ListEvents(const std::string& subject, int64_t limit) const;
  v1::MetricSeriesList GetMetrics(const std::string& job_id) const;
  // At most `bytes_max` bytes of a task's output from `offset` (negative: from the end); attempt 0:
  // the newest.
  absl::StatusOr<v1::LogChunk> ReadLog(const std::string& job_id, int rank, int attempt,
                                       int64_t offset, int64_t bytes_max) const;
  // Rises with every change of jobs, nodes, endpoints or events. Waits until it is above `seen`, at
  // most `timeout`; returns the present one.
  int64_t WaitForChange(int64_t seen, absl::Duration timeout) const;

  // What a job may act as, for the Authenticator: kind JOB, on behalf of its owner, engineer of its
  // project's unit (which CheckPermission cuts down to what jobs may do). NotFound: no such job, or
  // it has finished, so that the certificate of an ended job opens nothing.
  absl::StatusOr<Identity> JobIdentity(const std::string& id) const;

 private:
  struct Impl;
  explicit Controller(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace oneai::fabric
