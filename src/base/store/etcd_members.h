// File: base/store/etcd_members.h
//
// The members of an etcd cluster as gRPC channels, and which of them is asked at present. For the
// .cc files of the etcd store only: it drags gRPC in.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/store/etcd_options.h"
#include "etcd/etcd.grpc.pb.h"

namespace oneai {

struct EtcdMember {
  size_t index;
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<etcdserverpb::KV::Stub> kv;
  std::unique_ptr<etcdserverpb::Lease::Stub> lease;
  std::unique_ptr<etcdserverpb::Watch::Stub> watch;
};

// Thread-safe.
class EtcdMembers {
 public:
  explicit EtcdMembers(const EtcdOptions& options);

  EtcdMember& Current() { return members_[current_.load() % members_.size()]; }
  EtcdMember& at(size_t index) { return members_[index]; }
  // Calls go to the next member from now on, unless somebody has moved on already.
  void Avoid(const EtcdMember& member);
  size_t size() const { return members_.size(); }
  const std::string& addresses() const { return addresses_; }

 private:
  std::vector<EtcdMember> members_;
  std::string addresses_;
  std::atomic<size_t> current_{0};
};

// Deadline, and the demand that the member knows a leader: one that is cut off from the others
// answers at once that it does not, instead of letting the call wait.
void PrepareEtcdContext(grpc::ClientContext& context, absl::Duration timeout);

// Into words that say what to do. ResourceExhausted: the space quota is used up. InvalidArgument:
// over a limit of this etcd's flags. Unavailable: try again. Others as they are.
absl::Status FromEtcdStatus(const grpc::Status& status);

}  // namespace oneai
