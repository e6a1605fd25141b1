// File: serving/gateway/controller_client.h
//
// The gateway's errands at the controller: whom a key stands for, and handing over usage. Also the
// channels to replicas.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/auth/pki.h"
#include "serving/gateway/endpoint_directory.h"
#include "serving/gateway/identity_cache.h"
#include "serving/gateway/load_meter.h"
#include "serving/gateway/usage_journal.h"

namespace oneai::serving {

// Asks AuthService.Authenticate.
IdentityCache::Resolver NewIdentityResolver(std::shared_ptr<grpc::Channel> controller);

// mTLS channels without gRPC's own retries: the next replica is a better second try than the same
// one.
EndpointDirectory::Connector NewReplicaConnector(const TlsCredentials& tls);

// Brings usage batches and the present load to the controller, once a second. Start() to Stop(),
// which tries a last time.
class UsageReporter {
 public:
  // `journal` and `load` must outlive it.
  UsageReporter(std::shared_ptr<grpc::Channel> controller, UsageJournal* journal, LoadMeter* load)
      : stub_(fabric::v1::EndpointService::NewStub(controller)), journal_(journal), load_(load) {}
  ~UsageReporter() { Stop(); }
  void Start();
  void Stop();

  // Reports everything that waits, and the load. Unavailable: tried again later; no usage is lost.
  absl::Status ReportAll();

 private:
  void Loop();
  absl::StatusOr<int64_t> Send(const fabric::v1::ReportUsageRequest& request);

  const std::unique_ptr<fabric::v1::EndpointService::Stub> stub_;
  UsageJournal* const journal_;
  LoadMeter* const load_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace oneai::serving
