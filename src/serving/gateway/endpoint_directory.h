// File: serving/gateway/endpoint_directory.h
//
// The endpoints and replicas that the controller names. The last known set stays in force while the
// controller is away.
#pragma once

#include <grpcpp/channel.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "oneai/fabric/v1/endpoint.grpc.pb.h"
#include "oneai/inference/v1/inference.grpc.pb.h"
#include "serving/gateway/pick_replica.h"

namespace oneai::serving {

struct EndpointView {
  std::string name;           // what clients call `model`
  std::string business_unit;  // owner: the first part of its project
  std::string version;        // registry reference
  int32_t max_context_tokens = 0;
  int64_t created_unix = 0;
  std::vector<std::string> adapters;  // called as "<name>:<adapter>"
  std::vector<ReplicaView> replicas;
};

// The wire's list as views, by name. Pure.
std::map<std::string, EndpointView> ToEndpointViews(
    const fabric::v1::ListEndpointsResponse& response);

// A replica chosen for one attempt.
struct ReplicaTarget {
  std::string address;
  std::shared_ptr<inference::v1::InferenceService::StubInterface> stub;
};

// Thread-safe.
class EndpointDirectory {
 public:
  // Makes a stub to a replica's address; called once per address.
  using Connector = std::function<std::shared_ptr<inference::v1::InferenceService::StubInterface>(
      const std::string& address)>;
  explicit EndpointDirectory(Connector connect) : connect_(std::move(connect)) {}

  // Replaces the whole set. Connections to addresses that left are dropped once their calls end.
  void Update(const fabric::v1::ListEndpointsResponse& response);

  // NotFound: no such endpoint; names those that the caller could mean. Unavailable: nothing is
  // known before the first Update.
  absl::StatusOr<EndpointView> Find(const std::string& model) const;
  // Unavailable: as Find.
  absl::StatusOr<std::vector<EndpointView>> List() const;
  // The next replica in turn that is not in `tried`. Unavailable: none is ready, or all ready ones
  // were tried.
  absl::StatusOr<ReplicaTarget> Pick(const std::string& model, const std::set<std::string>& tried,
                                     absl::Time now);
  // A connection to `address` failed: others are preferred for two seconds.
  void Suspect(const std::string& address, absl::Time now);

 private:
  const Connector connect_;
  mutable absl::Mutex mu_;
  bool is_known_ ABSL_GUARDED_BY(mu_) = false;  // Update was called
  std::map<std::string, EndpointView> endpoints_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, uint64_t> cursors_ ABSL_GUARDED_BY(mu_);     // by endpoint
  std::map<std::string, absl::Time> suspects_ ABSL_GUARDED_BY(mu_);  // by address
  std::map<std::string, std::shared_ptr<inference::v1::InferenceService::StubInterface>> stubs_
      ABSL_GUARDED_BY(mu_);
};

// Follows EndpointService.WatchEndpoints into a directory. Start() to Stop().
class EndpointWatch {
 public:
  // `directory` must outlive it.
  EndpointWatch(std::shared_ptr<grpc::Channel> controller, EndpointDirectory* directory)
      : stub_(fabric::v1::EndpointService::NewStub(controller)), directory_(directory) {}
  ~EndpointWatch() { Stop(); }
  void Start();
  void Stop();

 private:
  void Loop();

  const std::unique_ptr<fabric::v1::EndpointService::Stub> stub_;
  EndpointDirectory* const directory_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  grpc::ClientContext* call_ ABSL_GUARDED_BY(mu_) = nullptr;  // the watch in progress
  std::thread thread_;
};

}  // namespace oneai::serving
