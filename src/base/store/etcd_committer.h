// File: base/store/etcd_committer.h
//
// Exactly-once commits over calls that can break.
//
//   take a slot -> try -> broken? look at the slot -> landed | try again | close -> give it back
//
// A commit that broke off may have happened, may not, or may happen yet: a member that was paused
// serves what lies in its socket when it wakes up. So every commit goes through a slot, a key of
// its own that one commit at a time writes:
//
//   if    slot is at revision R, and the caller's compares hold
//   then  the caller's mutations, and put the slot         (which moves it from R: one lands at
//   most) else  read the slot                                    (moved: an earlier try has landed)
//
// Before a commit is refused after a try that broke, the slot is moved without it (closed), so that
// the broken try cannot land later. A new slot has no revision yet (R = 0): there the try compares
// <prefix>/sweep as well, which changes whenever slots are removed, so that a try from before the
// removal cannot make its slot anew. Concurrent commits use different slots; idle slots are reused.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/store/etcd_client.h"
#include "base/store/etcd_keys.h"
#include "base/store/store.h"

namespace oneai {

// Thread-safe. `client` must outlive it.
class EtcdCommitter {
 public:
  EtcdCommitter(EtcdClient* client, const EtcdKeys& keys) : client_(client), keys_(keys) {}

  absl::Status Open();

  // As Store::Commit. Unavailable beyond it: etcd did not answer in time, and whether the
  // transaction is committed is not known; read again before going on.
  absl::StatusOr<int64_t> Commit(const Transaction& transaction);

  // Removes slots that nobody has used since `revision`, at most a hundred. They must be minutes
  // old: commits still being tried would report an unknown outcome.
  absl::Status Sweep(int64_t revision);

 private:
  struct Slot {
    std::string key;
    int64_t revision = 0;        // of its last write; 0: new
    int64_t sweep_revision = 0;  // new: of keys_.sweep when it was taken
  };

  Slot TakeSlot();
  void GiveBack(Slot slot);
  void ForgetIdle(int64_t sweep_revision);
  absl::StatusOr<int64_t> CommitThroughSlot(const Transaction& transaction);
  absl::StatusOr<int64_t> Close(Slot slot, absl::Status refusal, absl::Time deadline);
  // Reads without writing: Aborted when a compare fails; else which of the mutated keys exist.
  absl::StatusOr<std::vector<Compare>> Check(const Transaction& transaction);
  absl::StatusOr<int64_t> CommitDeletions(const Transaction& transaction);
  void AddSlotCompare(const Slot& slot, etcdserverpb::TxnRequest& request) const;
  etcdserverpb::TxnRequest RequestOf(const Transaction& transaction, const Slot& slot) const;

  EtcdClient* const client_;
  const EtcdKeys keys_;
  std::atomic<int64_t> sweep_revision_{0};
  absl::Mutex mu_;
  std::vector<Slot> idle_ ABSL_GUARDED_BY(mu_);
};

}  // namespace oneai
