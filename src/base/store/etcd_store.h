// File: base/store/etcd_store.h
//
// The highly available Store: an etcd cluster (3.4 or newer), by its gRPC API. Several processes
// may have the same one open; every read is linearizable.
//
// Beyond the contract of Store:
//   Commit     exactly once, also over a member that dies or sleeps (etcd_committer.h).
//   Unavailable:
//              etcd did not answer in time, and whether it is committed is not known.
//              ResourceExhausted: etcd's space quota (alarm NOSPACE). InvalidArgument also: over
//              etcd's own limits, which are --max-request-bytes (default 1.5 MiB for a whole
//              transaction; 9437184 holds our largest value) and --max-txn-ops (default 128; a
//              commit needs two of them itself).
//   revision() what this process has seen; other writers and sharers of the cluster raise it too.
//   Watch      never makes Commit wait: a slow watcher lags, and one that lags behind etcd's
//   history
//              gets the newest state of each key that changed, and the deletion of those gone.
//   Leases     last whole seconds, rounded up, and at least 1.5 elections of etcd's (2 s by
//              default). They go on while no process has the store open.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "base/store/etcd_options.h"
#include "base/store/store.h"

namespace oneai {

class EtcdStore {
 public:
  // InvalidArgument: no endpoints, a bad prefix. Unavailable: no member answers (names them).
  static absl::StatusOr<std::unique_ptr<Store>> Open(const EtcdOptions& options);
};

}  // namespace oneai
