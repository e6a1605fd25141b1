// File: compute_fabric/endpoints/replica_adapters.h
//
// How the controller asks a running replica for its LoRA adapters.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/auth/pki.h"

namespace oneai::fabric {

struct AdapterFolder {
  std::string name;
  std::string folder;

  bool operator==(const AdapterFolder&) const = default;
};

// Thread-safe. Errors are the replica's; kUnavailable, kDeadlineExceeded: it cannot be asked.
class ReplicaAdapters {
 public:
  virtual ~ReplicaAdapters() = default;
  virtual absl::StatusOr<std::vector<AdapterFolder>> List(const std::string& address) = 0;
  virtual absl::Status Load(const std::string& address, const AdapterFolder& adapter) = 0;
  // OK once new requests are refused, although older ones may still use it.
  virtual absl::Status Unload(const std::string& address, const std::string& name) = 0;
};

// Over gRPC, as `tls` says who asks.
std::unique_ptr<ReplicaAdapters> NewReplicaAdapters(const TlsCredentials& tls);

}  // namespace oneai::fabric
