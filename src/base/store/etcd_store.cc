#include "base/store/etcd_store.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "base/store/etcd_client.h"
#include "base/store/etcd_committer.h"
#include "base/store/etcd_keys.h"
#include "base/store/etcd_watch.h"

namespace oneai {
namespace {

namespace pb = etcdserverpb;

constexpr int64_t kPageSize = 1000;  // job records of a few KiB: some MiB an answer
constexpr int kSnapshotTriesMax = 5;
constexpr size_t kEndpointsMax = 32;
constexpr absl::Duration kTick = absl::Seconds(1);

KeyValue ToKeyValue(pb::KeyValue& kv, size_t prefix_bytes) {
  return {kv.key().substr(prefix_bytes), std::move(*kv.mutable_value()), kv.create_revision(),
          kv.mod_revision()};
}

class EtcdStoreImpl final : public Store {
 public:
  explicit EtcdStoreImpl(const EtcdOptions& options)
      : keys_(options.prefix), client_(options), committer_(&client_, keys_) {}

  absl::Status Open() {
    RETURN_IF_ERROR(committer_.Open());
    upkeep_ = std::thread([this] { Upkeep(); });
    return absl::OkStatus();
  }

  ~EtcdStoreImpl() override {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    if (upkeep_.joinable()) upkeep_.join();
    // Handles may outlive the store; what they refer to ends here.
    for (const auto& watch : watches_) watch->Stop();
    for (const auto& watch : watches_) watch->Join();
  }

  absl::StatusOr<KeyValue> Get(absl::string_view key) const override {
    pb::RangeRequest request;
    request.set_key(absl::StrCat(keys_.data, key));
    ASSIGN_OR_RETURN(pb::RangeResponse response, client_.Range(request));
    if (response.kvs_size() > 0) return ToKeyValue(*response.mutable_kvs(0), keys_.data.size());
    return absl::NotFoundError(absl::StrCat("no key \"", absl::CHexEscape(key), "\" in the store"));
  }

  absl::StatusOr<RangeResult> List(absl::string_view prefix, int64_t limit) const override {
    return Range(prefix, PrefixEnd(prefix), limit, false);
  }

  absl::StatusOr<RangeResult> Range(absl::string_view first, absl::string_view last, int64_t limit,
                                    bool reverse) const override {
    if (limit < 0) return absl::InvalidArgumentError("limit must be 0 (all) or more");
    pb::RangeRequest request = RequestFor(first, last);
    if (!last.empty() && last <= first) {
      request.set_count_only(true);
      request.clear_range_end();
    }
    if (!reverse || limit == 0) {
      ASSIGN_OR_RETURN(RangeResult all, ReadPages(std::move(request), limit));
      if (reverse) std::reverse(all.items.begin(), all.items.end());
      return all;
    }
    // etcd sorts before it cuts, so that this costs the server the whole range.
    request.set_sort_order(pb::RangeRequest::DESCEND);
    request.set_limit(limit);
    ASSIGN_OR_RETURN(pb::RangeResponse response, client_.Range(request));
    RangeResult result;
    result.revision = response.header().revision();
    Append(response, result);
    return result;
  }

  absl::StatusOr<int64_t> Commit(const Transaction& transaction) override {
    absl::StatusOr<int64_t> revision = committer_.Commit(transaction);
    if (absl::IsNotFound(revision.status()) &&
        absl::StrContains(revision.status().message(), "lease"))
      return EndedLeaseOf(transaction);
    return revision;
  }

  int64_t revision() const override { return client_.revision(); }

  std::unique_ptr<WatchHandle> Watch(
      std::string prefix,
      std::function<void(int64_t, const std::vector<WatchEvent>&)> on_events) override {
    const auto watch = std::make_shared<EtcdWatch>(
        &client_, keys_.data, std::move(prefix), revision(),
        [this](const std::string& p) {
          pb::RangeRequest request = RequestFor(p, PrefixEnd(p));
          request.set_keys_only(true);
          return ReadPages(std::move(request), 0);
        },
        [this](const std::string& p) { return List(p, 0); }, std::move(on_events));
    absl::MutexLock lock(&mu_);
    // Here rather than in the handle, which a callback may destroy: a thread cannot join itself.
    watches_.erase(std::remove_if(watches_.begin(), watches_.end(),
                                  [](const auto& old) { return old->is_done(); }),
                   watches_.end());
    watches_.push_back(watch);
    return std::make_unique<Handle>(watch);
  }

  absl::StatusOr<int64_t> GrantLease(absl::Duration ttl) override {
    if (ttl < absl::Milliseconds(1) || ttl > absl::Hours(24 * 366)) {
      return absl::InvalidArgumentError("a lease lasts from 1 ms to a year");
    }
    // Of our own choice, so that a repeated request does not grant a second one.
    thread_local absl::BitGen random;
    const int64_t id = absl::Uniform<int64_t>(absl::IntervalClosed, random, 1, INT64_MAX);
    return client_.GrantLease(id, absl::ToInt64Seconds(absl::Ceil(ttl, absl::Seconds(1))));
  }

  absl::Status RenewLease(int64_t lease_id) override { return client_.RenewLease(lease_id); }
  absl::Status RevokeLease(int64_t lease_id) override { return client_.RevokeLease(lease_id); }

 private:
  class Handle final : public WatchHandle {
   public:
    explicit Handle(std::shared_ptr<EtcdWatch> watch) : watch_(std::move(watch)) {}
    ~Handle() override { watch_->Stop(); }

   private:
    const std::shared_ptr<EtcdWatch> watch_;
  };

  pb::RangeRequest RequestFor(absl::string_view first, absl::string_view last) const {
    pb::RangeRequest request;
    request.set_key(absl::StrCat(keys_.data, first));
    request.set_range_end(last.empty() ? PrefixEnd(keys_.data) : absl::StrCat(keys_.data, last));
    return request;
  }

  void Append(pb::RangeResponse& page, RangeResult& result) const {
    for (pb::KeyValue& kv : *page.mutable_kvs())
      result.items.push_back(ToKeyValue(kv, keys_.data.size()));
  }

  // Pages of one revision: a consistent snapshot, however long it is.
  absl::StatusOr<RangeResult> ReadPages(pb::RangeRequest request, int64_t limit) const {
    const std::string first = request.key();
    absl::Status last_error;
    for (int i = 0; i < kSnapshotTriesMax; ++i) {
      RangeResult result;
      request.set_key(first);
      request.set_revision(0);
      while (true) {
        const int64_t left =
            limit == 0 ? kPageSize : limit - static_cast<int64_t>(result.items.size());
        request.set_limit(std::min(kPageSize, left));
        absl::StatusOr<pb::RangeResponse> page = client_.Range(request);
        last_error = page.status();
        if (!page.ok()) break;
        if (result.revision == 0) result.revision = page->header().revision();
        request.set_revision(result.revision);
        if (page->kvs_size() > 0)
          request.set_key(page->kvs(page->kvs_size() - 1).key() + std::string(1, '\0'));
        const bool more = page->more() && page->kvs_size() > 0;
        Append(*page, result);
        if (!more || static_cast<int64_t>(result.items.size()) == limit) return result;
      }
      // The snapshot was compacted away while it was read: a newer one.
      if (!absl::IsOutOfRange(last_error)) return last_error;
    }
    return absl::UnavailableError(absl::StrCat(
        "etcd compacts its history faster than it can be read: ", last_error.message()));
  }

  // etcd does not say which lease it missed.
  absl::Status EndedLeaseOf(const Transaction& transaction) {
    for (const Mutation& mutation : transaction.mutations) {
      if (mutation.lease_id == 0) continue;
      if (absl::IsNotFound(client_.RenewLease(mutation.lease_id)))
        return LeaseNotFound(mutation.lease_id);
    }
    return absl::NotFoundError("a lease of the transaction has ended; grant a new one");
  }

  void Upkeep() {
    absl::Time next_compaction = absl::Now() + client_.options().compact_every;
    int64_t compact_to = revision();
    const auto stopped = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return stopping_; };
    while (true) {
      std::vector<std::shared_ptr<EtcdWatch>> watches;
      {
        absl::MutexLock lock(&mu_);
        if (mu_.AwaitWithTimeout(absl::Condition(&stopped), kTick)) return;
        watches = watches_;
      }
      for (const auto& watch : watches) watch->CheckAlive();
      if (client_.options().compact_every == absl::ZeroDuration() || absl::Now() < next_compaction)
        continue;
      // Errors wait for the next time; other processes of the fabric do the same work.
      if (compact_to > 0) {
        (void)client_.Compact(compact_to);
        (void)committer_.Sweep(compact_to);
      }
      compact_to = revision();
      next_compaction = absl::Now() + client_.options().compact_every;
    }
  }

  const EtcdKeys keys_;
  mutable EtcdClient client_;
  EtcdCommitter committer_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::shared_ptr<EtcdWatch>> watches_ ABSL_GUARDED_BY(mu_);
  std::thread upkeep_;
};

absl::Status Validate(const EtcdOptions& options) {
  if (options.endpoints.empty() || options.endpoints.size() > kEndpointsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("etcd endpoints: 1 to ", kEndpointsMax, " of host:port"));
  }
  for (const std::string& endpoint : options.endpoints) {
    if (!absl::StrContains(endpoint, ':') || absl::StrContains(endpoint, "//")) {
      return absl::InvalidArgumentError(
          absl::StrCat("etcd endpoint \"", endpoint, "\" is not host:port"));
    }
  }
  const auto is_allowed = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '/';
  };
  if (options.prefix.empty() || options.prefix.size() > 128 ||
      !std::all_of(options.prefix.begin(), options.prefix.end(), is_allowed)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "etcd prefix \"", options.prefix, "\": 1 to 128 letters, digits, '-', '_' and '/'"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> EtcdStore::Open(const EtcdOptions& options) {
  RETURN_IF_ERROR(Validate(options));
  auto store = std::make_unique<EtcdStoreImpl>(options);
  RETURN_IF_ERROR(Annotate(store->Open(), "open the store in etcd"));
  return store;
}

}  // namespace oneai
