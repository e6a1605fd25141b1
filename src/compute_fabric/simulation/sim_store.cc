#include "compute_fabric/simulation/sim_store.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::fabric::simulation {
namespace {

// How long a watcher may lag behind.
constexpr absl::Duration kWatchDelayMax = absl::Milliseconds(5);

class Handle final : public WatchHandle {
 public:
  Handle(StoreServer* server, int64_t id) : server_(server), id_(id) {}
  ~Handle() override { server_->RemoveWatch(id_); }

 private:
  StoreServer* const server_;
  const int64_t id_;
};

absl::Status Unreachable() {
  return absl::UnavailableError("the store cannot be reached (simulated)");
}

}  // namespace

absl::StatusOr<KeyValue> StoreServer::Get(absl::string_view key) const {
  const auto it = entries_.find(key);
  if (it == entries_.end()) return absl::NotFoundError(absl::StrCat("no key \"", key, "\""));
  return it->second.item;
}

absl::StatusOr<RangeResult> StoreServer::Range(absl::string_view first, absl::string_view last,
                                               int64_t limit, bool reverse) const {
  RangeResult result;
  result.revision = revision_;
  auto begin = entries_.lower_bound(first);
  auto end = last.empty() ? entries_.end() : entries_.lower_bound(last);
  if (!last.empty() && last <= first) end = begin;
  while (begin != end && (limit == 0 || static_cast<int64_t>(result.items.size()) < limit)) {
    result.items.push_back(reverse ? (--end)->second.item : (begin++)->second.item);
  }
  return result;
}

absl::StatusOr<int64_t> StoreServer::Commit(const Transaction& transaction) {
  RETURN_IF_ERROR(ValidateTransaction(transaction));
  for (const Compare& compare : transaction.compares) {
    const auto it = entries_.find(compare.key);
    const int64_t found = it == entries_.end() ? 0 : it->second.item.mod_revision;
    if (found != compare.mod_revision) return CompareFailed(compare, found);
  }
  for (const Mutation& mutation : transaction.mutations) {
    if (mutation.lease_id != 0 && !leases_.contains(mutation.lease_id))
      return LeaseNotFound(mutation.lease_id);
  }
  const int64_t next = revision_ + 1;
  std::vector<WatchEvent> events;
  for (const Mutation& mutation : transaction.mutations) {
    const auto it = entries_.find(mutation.key);
    if (mutation.kind == Mutation::Kind::kDelete) {
      if (it == entries_.end()) continue;
      entries_.erase(it);
      events.push_back({WatchEvent::Kind::kDelete, {mutation.key, "", 0, next}});
      continue;
    }
    const int64_t created = it == entries_.end() ? next : it->second.item.create_revision;
    const KeyValue item{mutation.key, mutation.value, created, next};
    entries_[mutation.key] = {item, mutation.lease_id};
    events.push_back({WatchEvent::Kind::kPut, item});
  }
  if (events.empty()) return revision_;
  revision_ = next;
  if (observer_) observer_(next, events);
  for (const auto& [id, watcher] : watches_) {
    std::vector<WatchEvent> matching;
    for (const WatchEvent& event : events) {
      if (absl::StartsWith(event.item.key, watcher.prefix)) matching.push_back(event);
    }
    if (matching.empty()) continue;
    simulator_->After(kWatchDelayMax, [this, id = id, next, matching] {
      if (const auto it = watches_.find(id); it != watches_.end())
        it->second.on_events(next, matching);
    });
  }
  return next;
}

int64_t StoreServer::AddWatch(std::string prefix, Callback on_events) {
  watches_[++last_watch_id_] = {std::move(prefix), std::move(on_events)};
  return last_watch_id_;
}

absl::StatusOr<int64_t> StoreServer::GrantLease(absl::Duration ttl) {
  leases_[++last_lease_id_] = {ttl, simulator_->Now() + ttl};
  ArmLease(last_lease_id_);
  return last_lease_id_;
}

void StoreServer::ArmLease(int64_t lease_id) {
  simulator_->After(leases_.at(lease_id).deadline - simulator_->Now(), [this, lease_id] {
    const auto it = leases_.find(lease_id);
    if (it == leases_.end()) return;
    if (simulator_->Now() < it->second.deadline) return ArmLease(lease_id);
    EndLease(lease_id);
  });
}

absl::Status StoreServer::RenewLease(int64_t lease_id) {
  const auto it = leases_.find(lease_id);
  if (it == leases_.end()) return LeaseNotFound(lease_id);
  it->second.deadline = simulator_->Now() + it->second.ttl;
  return absl::OkStatus();
}

absl::Status StoreServer::RevokeLease(int64_t lease_id) {
  if (!leases_.contains(lease_id)) return LeaseNotFound(lease_id);
  EndLease(lease_id);
  return absl::OkStatus();
}

void StoreServer::EndLease(int64_t lease_id) {
  leases_.erase(lease_id);
  Transaction deletions;
  for (const auto& [key, entry] : entries_) {
    if (entry.lease_id == lease_id) deletions.Delete(key);
  }
  Commit(deletions).IgnoreError();
}

absl::Status SimStore::Reach(absl::Duration delay) const {
  if (!owner_->alive()) return Unreachable();
  if (simulator_->InFiber() && delay > absl::ZeroDuration()) {
    simulator_->Sleep(simulator_->random().Between(delay / 2, delay * 2));
    if (!owner_->alive()) return Unreachable();
  }
  if (link_->cut || (!link_->embedded && simulator_->random().Chance(link_->loss)))
    return Unreachable();
  return absl::OkStatus();
}

absl::StatusOr<KeyValue> SimStore::Get(absl::string_view key) const {
  RETURN_IF_ERROR(Reach(link_->read_delay));
  return server_->Get(key);
}

absl::StatusOr<RangeResult> SimStore::List(absl::string_view prefix, int64_t limit) const {
  return Range(prefix, PrefixEnd(prefix), limit, false);
}

absl::StatusOr<RangeResult> SimStore::Range(absl::string_view first, absl::string_view last,
                                            int64_t limit, bool reverse) const {
  if (limit < 0) return absl::InvalidArgumentError("limit must be 0 (all) or more");
  RETURN_IF_ERROR(Reach(link_->read_delay));
  return server_->Range(first, last, limit, reverse);
}

absl::StatusOr<int64_t> SimStore::Commit(const Transaction& transaction) {
  Random& random = simulator_->random();
  if (!owner_->alive()) return Unreachable();
  const bool can_wait = simulator_->InFiber();
  const absl::Duration delay = random.Between(link_->delay / 4, link_->delay);
  if (can_wait) simulator_->Sleep(delay);
  // Killed on the way: the disk has it or not.
  if (!owner_->alive()) {
    if (random.Chance(0.5)) server_->Commit(transaction).IgnoreError();
    return Unreachable();
  }
  if (link_->cut) return Unreachable();
  if (link_->disk_full) {
    return absl::ResourceExhaustedError("the disk of the store is full (simulated)");
  }
  const bool fails = random.Chance(link_->loss);
  if (fails && (link_->embedded || random.Chance(0.5))) return Unreachable();
  const absl::StatusOr<int64_t> revision = server_->Commit(transaction);
  if (can_wait) simulator_->Sleep(delay);
  if (!owner_->alive()) return Unreachable();
  if (!link_->embedded && (fails || link_->cut)) return Unreachable();
  return revision;
}

std::unique_ptr<WatchHandle> SimStore::Watch(std::string prefix, StoreServer::Callback on_events) {
  return std::make_unique<Handle>(server_,
                                  server_->AddWatch(std::move(prefix), std::move(on_events)));
}

absl::StatusOr<int64_t> SimStore::GrantLease(absl::Duration ttl) {
  RETURN_IF_ERROR(Reach(link_->delay));
  return server_->GrantLease(ttl);
}

absl::Status SimStore::RenewLease(int64_t lease_id) {
  RETURN_IF_ERROR(Reach(link_->delay));
  return server_->RenewLease(lease_id);
}

absl::Status SimStore::RevokeLease(int64_t lease_id) {
  RETURN_IF_ERROR(Reach(link_->delay));
  return server_->RevokeLease(lease_id);
}

}  // namespace oneai::fabric::simulation
