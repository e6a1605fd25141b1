// File: base/store/store.h
//
// The one place of durable control-plane state: ordered keys, compare-and-commit transactions,
// revisions, prefix watch, leases. The model is etcd's (https://etcd.io/docs/v3.5/learning/api/),
// so that SqliteStore (embedded) and EtcdStore (highly available) can stand behind the same
// contract; tests/base/store/store_conformance.h is that contract as a test suite.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace oneai {

struct KeyValue {
  std::string key;
  std::string value;
  int64_t create_revision = 0;
  int64_t mod_revision = 0;  // of the last write
};

// A condition of a transaction: the key's mod_revision must be exactly `mod_revision`; 0: the key
// must not exist.
struct Compare {
  std::string key;
  int64_t mod_revision = 0;
};

struct Mutation {
  enum class Kind { kPut, kDelete };
  Kind kind = Kind::kPut;
  std::string key;
  std::string value;     // kPut
  int64_t lease_id = 0;  // kPut: the key is deleted when this lease ends; 0: none
};

// All mutations or none, when all compares hold.
struct Transaction {
  std::vector<Compare> compares;
  std::vector<Mutation> mutations;

  Transaction& If(std::string key, int64_t mod_revision);
  Transaction& Put(std::string key, std::string value, int64_t lease_id = 0);
  Transaction& Delete(std::string key);
};

// What every implementation of Store checks and answers alike.
// InvalidArgument: a key or value out of bounds, or a key written twice.
absl::Status ValidateTransaction(const Transaction& transaction);
absl::Status CompareFailed(const Compare& compare, int64_t mod_revision_found);  // Aborted
absl::Status LeaseNotFound(int64_t lease_id);                                    // NotFound
// The smallest key after all keys that begin with `prefix`; "" when there is none.
std::string PrefixEnd(absl::string_view prefix);

struct RangeResult {
  std::vector<KeyValue> items;  // by key, bytewise
  int64_t revision = 0;         // of the store when it was read
};

struct WatchEvent {
  enum class Kind { kPut, kDelete };
  Kind kind = Kind::kPut;
  KeyValue item;  // kDelete: key and mod_revision of the deletion
};

// Ends the subscription when destroyed; no callback runs after the destructor has returned.
class WatchHandle {
 public:
  virtual ~WatchHandle() = default;
};

// Thread-safe. An implementation says in its header where it promises less, and what more may fail.
// Keys: 1..1,024 bytes. Values: at most 8 MiB (InvalidArgument beyond).
class Store {
 public:
  virtual ~Store() = default;

  // NotFound.
  virtual absl::StatusOr<KeyValue> Get(absl::string_view key) const = 0;

  // Keys that begin with `prefix`, at most `limit` (0: all). A consistent snapshot.
  virtual absl::StatusOr<RangeResult> List(absl::string_view prefix, int64_t limit = 0) const = 0;

  // Keys in [first, last) (empty `last`: to the end), at most `limit` (0: all), in descending order
  // when `reverse`. For logs keyed by zero-padded sequence.
  virtual absl::StatusOr<RangeResult> Range(absl::string_view first, absl::string_view last,
                                            int64_t limit, bool reverse) const = 0;

  // Applies the transaction and returns its revision, after it is on stable storage: an OK survives
  // kill -9 and power loss. Aborted: a compare failed, nothing changed. ResourceExhausted: the disk
  // is full, nothing changed. NotFound: a lease that a put names has ended. InvalidArgument:
  // bounds, or a key written twice. Deleting a key that is not there changes nothing; a transaction
  // that changes nothing leaves the revision as it is.
  virtual absl::StatusOr<int64_t> Commit(const Transaction& transaction) = 0;

  virtual int64_t revision() const = 0;

  // Calls `on_events` with the changes of each commit under `prefix`, in order, from the moment of
  // the call (changes after revision()). The callback runs on the store's thread, must not block,
  // and must not call Commit. Delivery lags by a bounded number of commits; beyond it Commit waits.
  virtual std::unique_ptr<WatchHandle> Watch(
      std::string prefix,
      std::function<void(int64_t revision, const std::vector<WatchEvent>&)> on_events) = 0;

  // A lease ends `ttl` after its last renewal; its keys are then deleted. Lease ids survive a
  // restart of the store, which counts as a renewal.
  virtual absl::StatusOr<int64_t> GrantLease(absl::Duration ttl) = 0;
  virtual absl::Status RenewLease(int64_t lease_id) = 0;   // NotFound: it has ended
  virtual absl::Status RevokeLease(int64_t lease_id) = 0;  // NotFound
};

}  // namespace oneai
