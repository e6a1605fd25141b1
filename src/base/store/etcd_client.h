// File: base/store/etcd_client.h
//
// Calls to an etcd cluster: whichever member answers, within a bounded time. Repeats by itself only
// what may be repeated; a transaction is one attempt, and says when its outcome is not known.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/store/etcd_options.h"
#include "etcd/etcd.pb.h"

namespace grpc {
class ClientContext;
class Status;
}  // namespace grpc

namespace oneai {

struct EtcdMember;
class EtcdMembers;

// Thread-safe.
class EtcdClient {
 public:
  explicit EtcdClient(const EtcdOptions& options);
  ~EtcdClient();

  // These repeat themselves at other members. Unavailable: no member answered in time (names them).
  // FailedPrecondition: members of different clusters.
  absl::StatusOr<etcdserverpb::RangeResponse> Range(const etcdserverpb::RangeRequest& request);
  // A transaction that writes nothing.
  absl::StatusOr<etcdserverpb::TxnResponse> Read(const etcdserverpb::TxnRequest& request);
  absl::Status Compact(int64_t revision);
  absl::StatusOr<int64_t> GrantLease(int64_t lease_id, int64_t ttl_seconds);
  absl::Status RenewLease(int64_t lease_id);   // NotFound
  absl::Status RevokeLease(int64_t lease_id);  // NotFound

  struct Attempt {
    absl::StatusOr<etcdserverpb::TxnResponse> response;
    // The call broke: etcd may have carried it out, or may do so yet.
    bool is_uncertain = false;
  };
  Attempt TryTxn(const etcdserverpb::TxnRequest& request);

  // The highest revision seen in any answer.
  int64_t revision() const { return revision_.load(); }
  absl::Status Observe(const etcdserverpb::ResponseHeader& header);

  EtcdMembers& members() { return *members_; }
  const EtcdOptions& options() const { return options_; }

 private:
  using Call = absl::FunctionRef<grpc::Status(EtcdMember&, grpc::ClientContext&)>;
  absl::Status Repeat(absl::Duration attempt_timeout, Call call);

  const EtcdOptions options_;
  const std::unique_ptr<EtcdMembers> members_;
  std::atomic<int64_t> revision_{0};
  std::atomic<uint64_t> cluster_id_{0};
};

// The pause before try number `attempt` (0: none), jittered.
absl::Duration EtcdBackoff(int attempt);

}  // namespace oneai
