#include "base/store/etcd_client.h"

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "base/store/etcd_members.h"
#include "base/store/store.h"

namespace oneai {
namespace {

// What another member, or the same one later, may answer otherwise.
bool IsBroken(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::INTERNAL:  // a stream that was reset
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::ABORTED:
      return true;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return absl::IsUnavailable(FromEtcdStatus(status));  // too many requests waiting
    default:
      return false;
  }
}

}  // namespace

absl::Duration EtcdBackoff(int attempt) {
  if (attempt == 0) return absl::ZeroDuration();
  thread_local absl::BitGen random;
  const double most_ms = std::min(500.0, 10.0 * (1 << std::min(attempt, 10)));
  return absl::Milliseconds(absl::Uniform(random, most_ms / 2, most_ms));
}

EtcdClient::EtcdClient(const EtcdOptions& options)
    : options_(options), members_(std::make_unique<EtcdMembers>(options)) {}

EtcdClient::~EtcdClient() = default;

absl::Status EtcdClient::Observe(const etcdserverpb::ResponseHeader& header) {
  uint64_t cluster = 0;
  if (!cluster_id_.compare_exchange_strong(cluster, header.cluster_id()) &&
      cluster != header.cluster_id()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the etcd members ", members_->addresses(),
                     " belong to different clusters; name the members of one"));
  }
  int64_t seen = revision_.load();
  while (seen < header.revision() && !revision_.compare_exchange_weak(seen, header.revision())) {
  }
  return absl::OkStatus();
}

absl::Status EtcdClient::Repeat(absl::Duration attempt_timeout, Call call) {
  const absl::Time deadline = absl::Now() + options_.call_timeout;
  grpc::Status status;
  for (int attempt = 0;; ++attempt) {
    const absl::Duration pause = attempt < static_cast<int>(members_->size())
                                     ? absl::ZeroDuration()  // the others may be well
                                     : EtcdBackoff(attempt);
    const absl::Duration left = deadline - absl::Now() - pause;
    if (attempt > 0 && left <= absl::ZeroDuration()) break;
    absl::SleepFor(pause);
    EtcdMember& member = members_->Current();
    grpc::ClientContext context;
    PrepareEtcdContext(context, std::min(attempt_timeout, left));
    status = call(member, context);
    if (!IsBroken(status)) return FromEtcdStatus(status);
    members_->Avoid(member);
  }
  return absl::UnavailableError(absl::StrCat("etcd (", members_->addresses(),
                                             ") did not answer within ",
                                             absl::FormatDuration(options_.call_timeout),
                                             "; the last word was: ", status.error_message()));
}

absl::StatusOr<etcdserverpb::RangeResponse> EtcdClient::Range(
    const etcdserverpb::RangeRequest& request) {
  etcdserverpb::RangeResponse response;
  // A page of large values takes longer than a write.
  RETURN_IF_ERROR(Repeat(2 * options_.attempt_timeout, [&](EtcdMember& member, auto& context) {
    return member.kv->Range(&context, request, &response);
  }));
  RETURN_IF_ERROR(Observe(response.header()));
  return response;
}

absl::StatusOr<etcdserverpb::TxnResponse> EtcdClient::Read(
    const etcdserverpb::TxnRequest& request) {
  etcdserverpb::TxnResponse response;
  RETURN_IF_ERROR(Repeat(options_.attempt_timeout, [&](EtcdMember& member, auto& context) {
    return member.kv->Txn(&context, request, &response);
  }));
  RETURN_IF_ERROR(Observe(response.header()));
  return response;
}

EtcdClient::Attempt EtcdClient::TryTxn(const etcdserverpb::TxnRequest& request) {
  EtcdMember& member = members_->Current();
  grpc::ClientContext context;
  PrepareEtcdContext(context, options_.attempt_timeout);
  etcdserverpb::TxnResponse response;
  const grpc::Status status = member.kv->Txn(&context, request, &response);
  if (IsBroken(status)) {
    members_->Avoid(member);
    return {absl::UnavailableError(
                absl::StrCat("etcd at ", member.address, ": ", status.error_message())),
            /*is_uncertain=*/true};
  }
  if (!status.ok()) return {FromEtcdStatus(status)};
  if (absl::Status observed = Observe(response.header()); !observed.ok()) return {observed};
  return {std::move(response)};
}

absl::Status EtcdClient::Compact(int64_t revision) {
  etcdserverpb::CompactionRequest request;
  request.set_revision(revision);
  etcdserverpb::CompactionResponse response;
  return Repeat(2 * options_.attempt_timeout, [&](EtcdMember& member, auto& context) {
    return member.kv->Compact(&context, request, &response);
  });
}

absl::StatusOr<int64_t> EtcdClient::GrantLease(int64_t lease_id, int64_t ttl_seconds) {
  etcdserverpb::LeaseGrantRequest request;
  request.set_id(lease_id);
  request.set_ttl(ttl_seconds);
  etcdserverpb::LeaseGrantResponse response;
  const absl::Status status =
      Repeat(options_.attempt_timeout, [&](EtcdMember& member, auto& context) {
        return member.lease->LeaseGrant(&context, request, &response);
      });
  // The id is random, so "already exists" is the answer to an earlier try of our own.
  if (!status.ok() && !absl::StrContains(status.message(), "already exists")) return status;
  return lease_id;
}

absl::Status EtcdClient::RenewLease(int64_t lease_id) {
  etcdserverpb::LeaseKeepAliveRequest request;
  request.set_id(lease_id);
  int64_t ttl = 0;
  RETURN_IF_ERROR(Repeat(options_.attempt_timeout / 4, [&](EtcdMember& member, auto& context) {
    const auto stream = member.lease->LeaseKeepAlive(&context);
    etcdserverpb::LeaseKeepAliveResponse response;
    if (stream->Write(request) && stream->Read(&response)) {
      ttl = response.ttl();
      context.TryCancel();  // one answer is all that is wanted
      stream->Finish();
      return grpc::Status::OK;
    }
    const grpc::Status status = stream->Finish();
    return status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the stream ended") : status;
  }));
  return ttl > 0 ? absl::OkStatus() : LeaseNotFound(lease_id);
}

absl::Status EtcdClient::RevokeLease(int64_t lease_id) {
  etcdserverpb::LeaseRevokeRequest request;
  request.set_id(lease_id);
  etcdserverpb::LeaseRevokeResponse response;
  int num_tries = 0;
  const absl::Status status =
      Repeat(options_.attempt_timeout, [&](EtcdMember& member, auto& context) {
        ++num_tries;
        return member.lease->LeaseRevoke(&context, request, &response);
      });
  // Gone at a second try: the first one did it.
  if (absl::IsNotFound(status)) return num_tries > 1 ? absl::OkStatus() : LeaseNotFound(lease_id);
  RETURN_IF_ERROR(status);
  return Observe(response.header());
}

}  // namespace oneai
