// File: compute_fabric/simulation/sim_store.h
//
// The durable store and the ways to it.
//
//   controller -> SimStore (delays, fails, loses answers) -> StoreServer (what is durable)
//
// An acknowledged commit is in the server. One without an answer may be there or not, as with etcd
// behind a network; with `embedded` a failed commit has changed nothing, as with SQLite, except
// that a crash may hit it on either side.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/store/store.h"
#include "compute_fabric/simulation/simulator.h"

namespace oneai::fabric::simulation {

// What is on the disk. Not a Store itself: nothing takes time or fails here.
class StoreServer {
 public:
  explicit StoreServer(Simulator* simulator) : simulator_(simulator) {}

  absl::StatusOr<KeyValue> Get(absl::string_view key) const;
  absl::StatusOr<RangeResult> Range(absl::string_view first, absl::string_view last, int64_t limit,
                                    bool reverse) const;
  absl::StatusOr<int64_t> Commit(const Transaction& transaction);
  int64_t revision() const { return revision_; }

  absl::StatusOr<int64_t> GrantLease(absl::Duration ttl);
  absl::Status RenewLease(int64_t lease_id);
  absl::Status RevokeLease(int64_t lease_id);

  using Callback = std::function<void(int64_t, const std::vector<WatchEvent>&)>;
  int64_t AddWatch(std::string prefix, Callback on_events);
  void RemoveWatch(int64_t id) { watches_.erase(id); }

  // Sees every commit when it has become durable.
  void set_observer(Callback observer) { observer_ = std::move(observer); }

 private:
  struct Entry {
    KeyValue item;
    int64_t lease_id = 0;
  };
  struct Lease {
    absl::Duration ttl;
    absl::Time deadline;
  };
  struct Watcher {
    std::string prefix;
    Callback on_events;
  };
  void ArmLease(int64_t lease_id);
  void EndLease(int64_t lease_id);

  Simulator* const simulator_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::map<int64_t, Lease> leases_;
  std::map<int64_t, Watcher> watches_;
  int64_t revision_ = 0;
  int64_t last_lease_id_ = 0;
  int64_t last_watch_id_ = 0;
  Callback observer_;
};

// How well a client reaches the server; changed by the fault plan while it runs.
struct StoreLink {
  bool embedded = true;
  bool cut = false;                                  // nothing gets through
  bool disk_full = false;                            // commits are refused
  absl::Duration delay = absl::Milliseconds(1);      // of a commit
  absl::Duration read_delay = absl::ZeroDuration();  // of a read; 0: none, and no other fiber runs
  double loss = 0;  // share of calls that fail; of commits, half of them after they were applied
};

// One process's connection. `owner` is who dies with it.
class SimStore final : public Store {
 public:
  SimStore(Simulator* simulator, StoreServer* server, const StoreLink* link, Process* owner)
      : simulator_(simulator), server_(server), link_(link), owner_(owner) {}

  absl::StatusOr<KeyValue> Get(absl::string_view key) const override;
  absl::StatusOr<RangeResult> List(absl::string_view prefix, int64_t limit = 0) const override;
  absl::StatusOr<RangeResult> Range(absl::string_view first, absl::string_view last, int64_t limit,
                                    bool reverse) const override;
  absl::StatusOr<int64_t> Commit(const Transaction& transaction) override;
  int64_t revision() const override { return server_->revision(); }
  std::unique_ptr<WatchHandle> Watch(std::string prefix, StoreServer::Callback on_events) override;
  absl::StatusOr<int64_t> GrantLease(absl::Duration ttl) override;
  absl::Status RenewLease(int64_t lease_id) override;
  absl::Status RevokeLease(int64_t lease_id) override;

 private:
  // The way there, for calls that change nothing or may be repeated.
  absl::Status Reach(absl::Duration delay) const;

  Simulator* const simulator_;
  StoreServer* const server_;
  const StoreLink* const link_;
  Process* const owner_;
};

}  // namespace oneai::fabric::simulation
