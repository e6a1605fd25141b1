#include "base/store/memory_store.h"

#include <map>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "base/store/lease_timer.h"
#include "base/store/watch_hub.h"

namespace oneai {
namespace {

class MemoryStore final : public Store {
 public:
  MemoryStore() : hub_(0), lease_timer_([this](int64_t id) { return EndLease(id); }) {}
  ~MemoryStore() override { lease_timer_.Stop(); }

  absl::StatusOr<KeyValue> Get(absl::string_view key) const override {
    absl::ReaderMutexLock lock(&mu_);
    const auto it = entries_.find(key);
    if (it != entries_.end()) return it->second.item;
    return absl::NotFoundError(absl::StrCat("no key \"", absl::CHexEscape(key), "\" in the store"));
  }

  absl::StatusOr<RangeResult> List(absl::string_view prefix, int64_t limit) const override {
    return Range(prefix, PrefixEnd(prefix), limit, false);
  }

  absl::StatusOr<RangeResult> Range(absl::string_view first, absl::string_view last, int64_t limit,
                                    bool reverse) const override {
    if (limit < 0) return absl::InvalidArgumentError("limit must be 0 (all) or more");
    absl::ReaderMutexLock lock(&mu_);
    RangeResult result;
    result.revision = revision_;
    auto begin = entries_.lower_bound(first);
    auto end = last.empty() ? entries_.end() : entries_.lower_bound(last);
    if (!last.empty() && last <= first) end = begin;
    const auto is_full = [&] {
      return limit > 0 && static_cast<int64_t>(result.items.size()) == limit;
    };
    while (begin != end && !is_full()) {
      result.items.push_back(reverse ? (--end)->second.item : (begin++)->second.item);
    }
    return result;
  }

  absl::StatusOr<int64_t> Commit(const Transaction& transaction) override {
    RETURN_IF_ERROR(ValidateTransaction(transaction));
    absl::MutexLock commit_lock(&commit_mu_);
    std::vector<WatchEvent> events;
    int64_t revision = 0;
    {
      absl::MutexLock lock(&mu_);
      RETURN_IF_ERROR(Check(transaction));
      for (const Mutation& mutation : transaction.mutations) Apply(mutation, events);
      if (!events.empty()) ++revision_;
      revision = revision_;
    }
    if (!events.empty()) hub_.Publish(revision, std::move(events));
    return revision;
  }

  int64_t revision() const override { return hub_.revision(); }

  std::unique_ptr<WatchHandle> Watch(
      std::string prefix,
      std::function<void(int64_t, const std::vector<WatchEvent>&)> on_events) override {
    return hub_.Watch(std::move(prefix), std::move(on_events));
  }

  absl::StatusOr<int64_t> GrantLease(absl::Duration ttl) override {
    if (ttl < absl::Milliseconds(1) || ttl > absl::Hours(24 * 366)) {
      return absl::InvalidArgumentError("a lease lasts from 1 ms to a year");
    }
    absl::MutexLock lock(&mu_);
    lease_timer_.Add(++last_lease_id_, ttl);
    return last_lease_id_;
  }

  absl::Status RenewLease(int64_t lease_id) override {
    return lease_timer_.Renew(lease_id) ? absl::OkStatus() : LeaseNotFound(lease_id);
  }

  absl::Status RevokeLease(int64_t lease_id) override {
    if (!lease_timer_.Remove(lease_id)) return LeaseNotFound(lease_id);
    if (!EndLease(lease_id)) lease_timer_.Add(lease_id, absl::Milliseconds(1));
    return absl::OkStatus();
  }

 private:
  struct Entry {
    KeyValue item;
    int64_t lease_id;
  };

  absl::Status Check(const Transaction& transaction) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    for (const Compare& compare : transaction.compares) {
      const auto it = entries_.find(compare.key);
      const int64_t found = it == entries_.end() ? 0 : it->second.item.mod_revision;
      if (found != compare.mod_revision) return CompareFailed(compare, found);
    }
    for (const Mutation& mutation : transaction.mutations) {
      if (mutation.lease_id != 0 && !lease_timer_.Lives(mutation.lease_id)) {
        return LeaseNotFound(mutation.lease_id);
      }
    }
    return absl::OkStatus();
  }

  void Apply(const Mutation& mutation, std::vector<WatchEvent>& events)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const int64_t next = revision_ + 1;
    const auto it = entries_.find(mutation.key);
    if (mutation.kind == Mutation::Kind::kDelete) {
      if (it == entries_.end()) return;
      entries_.erase(it);
      events.push_back({WatchEvent::Kind::kDelete, {mutation.key, "", 0, next}});
      return;
    }
    const int64_t created = it == entries_.end() ? next : it->second.item.create_revision;
    const KeyValue item{mutation.key, mutation.value, created, next};
    entries_[mutation.key] = Entry{item, mutation.lease_id};
    events.push_back({WatchEvent::Kind::kPut, item});
  }

  // False: one of its keys was written meanwhile; try again.
  bool EndLease(int64_t lease_id) {
    Transaction deletions;
    {
      absl::MutexLock lock(&mu_);
      for (const auto& [key, entry] : entries_) {
        if (entry.lease_id == lease_id) deletions.If(key, entry.item.mod_revision).Delete(key);
      }
    }
    return Commit(deletions).ok();
  }

  WatchHub hub_;
  // Held while publishing, when a full queue may make the publisher wait for a callback that reads:
  // hence two locks.
  absl::Mutex commit_mu_ ABSL_ACQUIRED_BEFORE(mu_);
  mutable absl::Mutex mu_;
  std::map<std::string, Entry, std::less<>> entries_ ABSL_GUARDED_BY(mu_);
  int64_t revision_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t last_lease_id_ ABSL_GUARDED_BY(mu_) = 0;
  LeaseTimer lease_timer_;
};

}  // namespace

std::unique_ptr<Store> NewMemoryStore() { return std::make_unique<MemoryStore>(); }

}  // namespace oneai
