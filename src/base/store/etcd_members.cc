#include "base/store/etcd_members.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"

namespace oneai {
namespace {

grpc::ChannelArguments ChannelArguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);  // bounded by our own page sizes, not by a guess
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
                   1000);  // also the time that connecting may take
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // Retries are ours: only we know what may be repeated.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // The members of one store, and two stores, must not wait for each other's backoff.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

std::shared_ptr<grpc::ChannelCredentials> Credentials(const EtcdOptions& options) {
  if (!options.tls.has_value()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = options.tls->ca_pem;
  ssl.pem_cert_chain = options.tls->certificate_pem;
  ssl.pem_private_key = options.tls->private_key_pem;
  return grpc::SslCredentials(ssl);
}

}  // namespace

EtcdMembers::EtcdMembers(const EtcdOptions& options)
    : addresses_(absl::StrJoin(options.endpoints, ", ")) {
  const auto credentials = Credentials(options);
  for (const std::string& address : options.endpoints) {
    auto channel = grpc::CreateCustomChannel(address, credentials, ChannelArguments());
    members_.push_back({members_.size(), address, channel, etcdserverpb::KV::NewStub(channel),
                        etcdserverpb::Lease::NewStub(channel),
                        etcdserverpb::Watch::NewStub(channel)});
  }
}

void EtcdMembers::Avoid(const EtcdMember& member) {
  size_t expected = member.index;
  current_.compare_exchange_strong(expected, (member.index + 1) % members_.size());
}

void PrepareEtcdContext(grpc::ClientContext& context, absl::Duration timeout) {
  context.AddMetadata("hasleader", "true");
  if (timeout < absl::InfiniteDuration())
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

absl::Status FromEtcdStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const std::string& text = status.error_message();
  if (absl::StrContains(text, "database space exceeded")) {
    return absl::ResourceExhaustedError(
        "etcd has used up its space quota (alarm NOSPACE): compact and defragment it or raise "
        "--quota-backend-bytes, then `etcdctl alarm disarm`");
  }
  if (absl::StrContains(text, "request is too large") ||
      absl::StrContains(text, "received message larger than max")) {
    return absl::InvalidArgumentError(
        "the transaction is larger than this etcd takes; start its members with "
        "--max-request-bytes=9437184, which holds the largest value of 8 MiB");
  }
  if (absl::StrContains(text, "too many operations")) {
    return absl::InvalidArgumentError(
        "the transaction has more operations than this etcd takes; start its members with "
        "--max-txn-ops=4096");
  }
  if (absl::StrContains(text, "too many requests"))
    return absl::UnavailableError("etcd has too many requests waiting; try again");
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::StrCat("etcd: ", text));
}

}  // namespace oneai
